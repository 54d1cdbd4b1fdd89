"""What a bundle knows of how hard samples are, and how it is used at an exit; knows no torch."""
