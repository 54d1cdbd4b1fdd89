"""What a model's blocks cost on classes of devices: measured, kept in `profile.json`, scaled to a machine."""
