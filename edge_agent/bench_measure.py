"""One setting of this device, measured in a process of its own, so that its memory is its own:
`python -m edge_agent.bench_measure` reads a BenchSetting from standard input and writes a Measured to standard output.

Which settings are run, and which is best, is bench.py's.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import msgspec

from edge_agent.runtime import OnnxEngine
from edge_agent.runtime.engine import EngineOptions
from edge_agent.telemetry.energy import Energy, EnergyMeter
from edgewise.generation.state import GenerationState, Sampling

SHORT_TOKENS = 32
LONG_TOKENS = 256
WRITTEN_TOKENS = 32
CONTEXT_TOKENS = 512
PREFILL_SHARE = 0.4
"""Of the time, for the long prompt; the rest is for decoding after it."""
BATTERY = "battery, one reading"
_NAME = "bench"
Clock = Callable[[], float]


class BenchSetting(msgspec.Struct, frozen=True, kw_only=True):
    """What a child is to run: a model directory, for some `seconds` (never less than one round)."""

    directory: str
    machine_dir: str
    threads: int
    spinning: bool
    seconds: float


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a device's table. MB are 10^6 bytes; None is a thing that this machine does not tell."""

    threads: int
    spinning: bool
    load_s: float
    first_token_ms: float
    prefill_tokens_per_s: float
    prefill_tokens: int
    decode_tokens_per_s: float
    decode_tokens: int
    rss_mb: float | None
    anonymous_mb: float | None
    kv_bytes_per_token: int
    joules_per_token: float | None
    energy_source: str | None


def measure(setting: BenchSetting, clock: Clock = time.perf_counter, root: Path = Path("/")) -> Measured:
    """Load, read a short prompt, then a long one, then write, until the time is up. `root` is where sensors are.

    Raises ModelMissingError, ManifestError.
    """
    started = clock()
    engine = load(setting)
    load_s = clock() - started
    answers = _Answers(engine, clock)
    answers.read(SHORT_TOKENS)  # the first call of a session allocates
    firsts = [answers.read(SHORT_TOKENS) for _ in range(3)]
    tokens = _affordable(SHORT_TOKENS / median(firsts), setting.seconds * PREFILL_SHARE, answers.longest)
    prefill_s = answers.read(tokens)
    meter = EnergyMeter(clock, root=root)
    steps = answers.write(max(setting.seconds - (clock() - started), 0.0))
    source, joules = _told(meter.read())
    rss_mb, anonymous_mb = memory_mb()
    return Measured(
        threads=setting.threads,
        spinning=setting.spinning,
        load_s=load_s,
        first_token_ms=1e3 * median(firsts),
        prefill_tokens_per_s=tokens / prefill_s,
        prefill_tokens=tokens,
        decode_tokens_per_s=len(steps) / sum(steps),
        decode_tokens=len(steps),
        rss_mb=rss_mb,
        anonymous_mb=anonymous_mb,
        kv_bytes_per_token=engine.shape.kv_bytes_per_token,
        joules_per_token=None if joules is None else joules / len(steps),
        energy_source=source,
    )


def load(setting: BenchSetting) -> OnnxEngine:
    """The engine as the agent loads it, with one row. Raises ModelMissingError, ManifestError."""
    options = EngineOptions(
        threads=setting.threads,
        spinning=setting.spinning,
        slots=1,
        context_tokens=CONTEXT_TOKENS,
        machine_dir=Path(setting.machine_dir) if setting.machine_dir else None,
    )
    return OnnxEngine.load(Path(setting.directory), options, verify=False)


class _Answers:
    """Prompts that were never seen, and answers that nothing ends but their budget."""

    def __init__(self, engine: OnnxEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._random = random.Random(0)
        self.longest = min(engine.manifest.context_tokens, CONTEXT_TOKENS) - WRITTEN_TOKENS

    def read(self, tokens: int) -> float:
        """Seconds from a new prompt of `tokens` to its first token."""
        self._engine.cancel(_NAME)
        prompt = tuple(self._random.randrange(self._engine.shape.vocab) for _ in range(tokens))
        self._prompt = prompt
        return self._begin(WRITTEN_TOKENS)

    def write(self, seconds: float) -> list[float]:
        """Seconds of each token after the first, for so long and at least for one answer."""
        steps: list[float] = []
        ends_at = self._clock() + seconds
        while len(steps) < WRITTEN_TOKENS - 1 or self._clock() < ends_at:
            if not self._left:
                self._begin(WRITTEN_TOKENS)
            steps.append(self._step())
        return steps

    def _begin(self, tokens: int) -> float:
        state = GenerationState(
            prompt_ids=self._prompt,
            messages=(),
            model="",
            max_tokens=tokens,
            seed=0,
            sampling=Sampling(temperature=0.0),
            eos_ids=(2**31 - 1,),  # no token of any vocabulary: the answer goes on to its budget
        )
        self._engine.submit(_NAME, state)
        self._left = tokens
        return self._step()

    def _step(self) -> float:
        """Step the engine to the next token."""
        started = self._clock()
        while True:
            for output in self._engine.step():
                if output.error:
                    raise RuntimeError(output.error)
                if output.ids:
                    self._left -= len(output.ids)
                    return self._clock() - started


def _told(energy: Energy) -> tuple[str | None, float | None]:
    """Who measured, and joules; neither where nobody did.

    What a model says is no measurement. No joules are none either: the meter says 0 until its interval is over, and
    where a counter stands still. A battery tells its power once, at the end, and that stands for the whole time.
    """
    if energy.source == "model" or energy.joules <= 0.0:
        return None, None
    return (BATTERY if energy.source == "battery" else energy.source), energy.joules


def memory_mb(process: str = "self") -> tuple[float | None, float | None]:
    """Resident and anonymous memory as the kernel counts pages; None where it does not tell (not Linux)."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return None, None
    kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines[1:])}
    return kib["Rss"] * 1024 / 1e6, kib["Anonymous"] * 1024 / 1e6


def _affordable(tokens_per_s: float, seconds: float, longest: int) -> int:
    """How long a prompt can be read in so many seconds: a slow device gets a shorter one."""
    return max(min(int(tokens_per_s * seconds), LONG_TOKENS, longest), min(SHORT_TOKENS, longest))


if __name__ == "__main__":
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=BenchSetting)
    sys.stdout.buffer.write(msgspec.json.encode(measure(asked)))
