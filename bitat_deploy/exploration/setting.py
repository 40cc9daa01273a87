"""What an exploration is given, and what every step of it needs."""

from dataclasses import dataclass, field
from pathlib import Path

from bitat_deploy.datasets import FolderSurvey, HeldOut, survey_folder
from bitat_deploy.errors import InputError
from bitat_deploy.exploration.candidates import Candidate, Space, combinations, load_space
from bitat_deploy.exploration.costs import Budget
from bitat_deploy.exploration.recipes import Images
from bitat_deploy.exploration.work import CHECKPOINT
from bitat_deploy.target import Target
from bitat_deploy.tuning import default_jobs

CHANNELS = 3


@dataclass(frozen=True)
class ExploreOptions:
    """What to explore; ``candidates`` None: the file in the package.

    ``seconds`` limits this and earlier commands in the folder ``output`` together. ``jobs`` runs
    train side by side. ``storage`` is the URL of a database, None: SQLite in ``output``.
    """

    data: Path
    output: Path
    target: Target
    budget: Budget = field(default_factory=Budget)
    candidates: Path | None = None
    jobs: int = field(default_factory=default_jobs)
    seconds: float | None = None
    storage: str | None = None


@dataclass(frozen=True)
class Setting:
    """``candidates`` make sense; ``left_out`` says why others do not, by name."""

    options: ExploreOptions
    space: Space
    survey: FolderSurvey
    candidates: tuple[Candidate, ...]
    left_out: dict[str, str]

    @property
    def images(self) -> Images:
        """How the pictures are used."""
        share = self.space.training.validation_share
        return Images(self.space.training, max(round(sum(self.survey.training) * share), 1))

    def twin_folder(self, candidate: Candidate) -> Path:
        """The run of a candidate's full-precision twin."""
        return self.options.output.absolute() / "twins" / candidate.twin

    def twin_checkpoint(self, candidate: Candidate) -> Path:
        """Where a candidate begins."""
        return self.twin_folder(candidate) / CHECKPOINT

    def run_folder(self, candidate: Candidate, epochs: int) -> Path:
        """A candidate's run of this length."""
        return self.options.output.absolute() / "runs" / candidate.name / f"{epochs}-epochs"

    def input_shape(self, candidate: Candidate) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return candidate.image_size, candidate.image_size, CHANNELS


def read_setting(options: ExploreOptions) -> Setting:
    """Read the candidates file and look at the pictures. Raises InputError."""
    space = load_space(options.candidates)
    candidates, left_out = combinations(space)
    if not candidates:
        name, reason = next(iter(left_out.items()))
        raise InputError(f"no combination of the candidates file makes sense: of {name}, {reason}")
    held_out = HeldOut(space.training.test_share, space.training.group)
    survey = survey_folder(options.data, held_out)
    setting = Setting(options, space, survey, tuple(candidates), left_out)
    left = sum(survey.training) - setting.images.validation
    if left < space.training.batch_size:
        raise InputError(
            f"'{options.data}' has {sum(survey.training)} training images, which leave no batch of "
            f"{space.training.batch_size} besides {setting.images.validation} for validation; add "
            "photos"
        )
    return setting
