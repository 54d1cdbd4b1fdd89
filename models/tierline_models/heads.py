"""Ready-made heads for early exits: features to logits, with as few weights as do the job."""

from torch import Tensor, nn


class TokenHead(nn.Module):
    """For token features (B, T, H): the mean over the tokens, and one linear layer."""

    def __init__(self, width: int, labels: int) -> None:
        super().__init__()
        self.classify = nn.Linear(width, labels)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, H) to logits (B, labels); the mask (B, T) is 1 where there is a token."""
        mean = x.mean(1) if mask is None else (x * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
        logits: Tensor = self.classify(mean)
        return logits


class PooledHead(nn.Module):
    """For pooled features (B, H): one linear layer."""

    def __init__(self, width: int, labels: int) -> None:
        super().__init__()
        self.classify = nn.Linear(width, labels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H) to logits (B, labels)."""
        logits: Tensor = self.classify(x)
        return logits


class ImageHead(nn.Module):
    """For image features (B, C, H, W): the mean over the pixels, and one linear layer."""

    def __init__(self, channels: int, labels: int) -> None:
        super().__init__()
        self.classify = nn.Linear(channels, labels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to logits (B, labels)."""
        logits: Tensor = self.classify(x.mean((2, 3)))
        return logits
