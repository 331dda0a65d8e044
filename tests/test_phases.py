"""What is noted as a phase is what a release calls so; what it has no function for is said to be untold."""

import os
import sys
import time
from itertools import pairwise
from types import ModuleType, SimpleNamespace

import pytest

from sampling import phases, spans


@pytest.fixture
def events(tmp_path, monkeypatch):
    """The file of this process's trial, and no release looked at yet."""
    monkeypatch.setenv(spans.EVENTS_VARIABLE, str(tmp_path / "events"))
    monkeypatch.setattr(phases, "_asked", set())
    monkeypatch.setattr(phases, "_found", set())
    return tmp_path / "events"


def noted(events) -> list[str]:
    return [s.name for s in spans.read_spans(events)]


def c_linker() -> ModuleType:
    """A module laid out as PyTensor's: a static method that compiles, called by a method that loads."""
    module = ModuleType("pytensor.link.c.cmodule")
    source = """
class GCC_compiler:
    @staticmethod
    def compile_str(name):
        return f"compiled {name}"
class ModuleCache:
    def module_from_key(self, key):
        return GCC_compiler.compile_str(key)
"""
    exec(source, module.__dict__)
    return module


def test_functions_methods_and_static_methods_are_noted_and_do_what_they_did(events):
    module = c_linker()
    phases._wrapper(phases._FUNCTIONS[module.__name__])(module)
    assert module.ModuleCache().module_from_key("x") == "compiled x"
    assert noted(events) == ["compiling_c", "loading"]
    assert phases.untold() == set()


def test_what_a_release_has_no_function_for_is_untold(events):
    module = c_linker()
    del module.GCC_compiler
    phases._wrapper(phases._FUNCTIONS[module.__name__])(module)
    assert phases.untold() == {"compiling_c"}


def test_one_function_of_a_phase_is_enough_to_tell_it(events):
    module = SimpleNamespace(_sample_return=lambda: "idata")
    phases._wrapper(phases._FUNCTIONS["pymc.sampling.mcmc"])(module)
    assert module._sample_return() == "idata"
    assert phases.untold() == {"checking"}


def test_what_jax_has_not_computed_yet_is_waited_for_where_it_transforms(events, monkeypatch):
    waited = []
    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(block_until_ready=lambda r: waited.append(r) or r))
    module = SimpleNamespace(_postprocess_samples=lambda: "draws", from_dict=lambda: "idata")
    phases._wrapper(phases._FUNCTIONS["pymc.sampling.jax"])(module)
    assert (module._postprocess_samples(), module.from_dict()) == ("draws", "idata")
    assert waited == ["draws"]
    assert noted(events) == ["transforming", "collecting"]


class Step:
    """Steps as PyMC's samplers do."""

    def __init__(self) -> None:
        self.tuning = True

    def step(self, point):
        time.sleep(0.001)
        return point + 1

    def stop_tuning(self) -> None:
        self.tuning = False


def workers() -> SimpleNamespace:
    """`pymc.sampling.parallel`, with a loop of its shape: five steps of tuning, seven draws."""

    class Process:
        def __init__(self) -> None:
            self._step_method, self.point = Step(), 0

        def _start_loop(self) -> None:
            for draw in range(12):
                if draw == 5:
                    self._step_method.stop_tuning()
                self.point = self._step_method.step(self.point)

    return SimpleNamespace(_Process=Process)


def test_a_worker_passes_its_marks_once_each_and_draws_as_before(events):
    module = workers()
    phases._watch_workers(module)
    process = module._Process()
    process._start_loop()
    assert (process.point, process._step_method.tuning) == (12, False)
    stretches = spans.read_spans(events)
    assert [s.name for s in stretches] == ["worker_starts", "worker_first_step", "worker_tunes", "worker_draws"]
    assert all(one.interval.end == other.interval.start for one, other in pairwise(stretches))
    assert {s.pid for s in stretches} == {os.getpid()}
    assert "step" not in vars(process._step_method), "one step is watched, and no other"


def test_a_worker_that_dies_has_passed_what_it_passed(events):
    module = workers()
    phases._watch_workers(module)
    process = module._Process()
    process._step_method.stop_tuning = lambda: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        process._start_loop()
    assert noted(events) == ["worker_starts", "worker_first_step", "worker_tunes", "worker_draws"]


def test_nothing_is_noted_unless_the_trial_asked_for_it(monkeypatch):
    monkeypatch.delenv(spans.EVENTS_VARIABLE, raising=False)
    before = list(sys.meta_path), sys.modules["_frozen_importlib"]._find_and_load
    phases.listen()
    assert (list(sys.meta_path), sys.modules["_frozen_importlib"]._find_and_load) == before
