"""How to measure."""

from dataclasses import dataclass, replace

from bitat_deploy.errors import InputError

MEDIAN = "median"
MLPERF_SINGLE_STREAM = "mlperf-single-stream"

# By rule: the field of Latency that is reported as the latency, and what a reader calls it.
HEADLINES = {
    MEDIAN: ("p50", "median"),
    MLPERF_SINGLE_STREAM: ("p90", "MLPerf single-stream p90"),
}


@dataclass(frozen=True)
class BenchOptions:
    """How to measure: at least ``min_runs`` and ``min_seconds``, after ``warmup`` runs.

    Measuring ends at ``max_runs`` or ``max_seconds`` in any case. In ``profile_runs`` more runs
    each layer is timed by itself. ``rule`` is a key of HEADLINES. Raises
    InputError for values that make no sense.
    """

    threads: int = 1
    warmup: int = 10
    min_runs: int = 50
    min_seconds: float = 1.0
    max_runs: int = 1_000_000
    max_seconds: float = 120.0
    profile_runs: int = 0
    rule: str = MEDIAN

    def __post_init__(self) -> None:
        for name, lowest in (("threads", 1), ("warmup", 0), ("min_runs", 1), ("min_seconds", 0)):
            if not getattr(self, name) >= lowest:
                raise InputError(f"{name} must be {lowest} at least, not {getattr(self, name)}")

    def single_stream(self) -> "BenchOptions":
        """These options, but by the rule of MLPerf Inference's single-stream scenario.

        It asks for at least 1,024 queries and 60 seconds, and gives the 90th percentile.
        """
        return replace(
            self,
            min_runs=1024,
            min_seconds=60.0,
            max_runs=1_000_000_000,
            max_seconds=1e6,
            rule=MLPERF_SINGLE_STREAM,
        )
