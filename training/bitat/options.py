"""Which parts of BiTAT are used, and with what numbers."""

from dataclasses import dataclass

from bitat_deploy.errors import InputError

REDUCTIONS = ("channels", "clusters", "none")
OFF_DIAGONALS = ("joint", "learned", "none")
ROTATIONS = ("exponential", "cayley")
COMPENSATIONS = ("commit", "start", "none")
MOMENTS = ("start", "commit")


@dataclass(frozen=True)
class BitatOptions:
    """Every part of BiTAT, each of which can be switched off by itself.

    block_layers: most consecutive layers whose dependency is seen [P]; 1 looks at each layer alone.
    importance_weight: lambda of loss (4), relative to the output's energy; 0 switches it off.
    trained_basis: train V and s [P] by loss (4), else they stay what PCA gave.
    rotation: V = V_pca * exp(A - A^T), or Cayley's form of it [R].
    off_diagonal: V from the PCA of all inputs together ("joint"), or of each layer's by itself,
        with the rest of the matrix trained as the paper draws it ("learned"), or left 0 ("none").
    basis_rate: learning rate of V and s over that of the weights [R].
    basis_interval: V and s are trained at every so many steps; between them V is a constant.
    compensation: use the target (5) at the commit, before the layer trains ("start"), or not [R].
    descent_at: the signs are chosen by descent before the layer trains straight-through, from the
        weights that the network computes with ("start"), and stay as training leaves them; or
        after it trained, from its latent weights ("commit") [R].
    descent_sweeps: passes of the descent over all signs; 0 keeps sign(W).
    importance_order: the descent visits inputs by decreasing importance, else as they come.
    reduction: rows of W merged by the matrix P: the taps of a channel ("channels"), k-means on
        rows ("clusters"), or not at all ("none", memory without a bound).
    max_rows: most rows a layer keeps; channels above that are merged by k-means too.
    residual_weight: epsilon, the weight of what P merges away [R].
    centred: covariance in place of the second moment where a batch normalisation follows, for
        it removes the mean of any error [R].
    positions: of each calibration batch at most so many positions enter the moments.
    ridge: added to H's diagonal, relative to its mean, before the inverse in (5).
    """

    block_layers: int = 4
    importance_weight: float = 0.3
    trained_basis: bool = True
    rotation: str = "exponential"
    off_diagonal: str = "joint"
    basis_rate: float = 0.1
    basis_interval: int = 8
    compensation: str = "commit"
    descent_at: str = "commit"
    descent_sweeps: int = 4
    importance_order: bool = True
    reduction: str = "channels"
    max_rows: int = 128
    residual_weight: float = 1e-3
    centred: bool = True
    positions: int = 8192
    ridge: float = 1e-2

    def __post_init__(self) -> None:
        choices = (
            ("reduction", REDUCTIONS),
            ("off_diagonal", OFF_DIAGONALS),
            ("rotation", ROTATIONS),
            ("compensation", COMPENSATIONS),
            ("descent_at", MOMENTS),
        )
        for name, allowed in choices:
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} must be one of {', '.join(allowed)}")
        for name in ("block_layers", "basis_interval", "max_rows", "positions"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("importance_weight", "basis_rate", "descent_sweeps", "residual_weight"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} must not be negative, not {getattr(self, name)}")
        if self.ridge <= 0:
            raise InputError(f"ridge must be positive, not {self.ridge}")
