"""JAX gets a GPU by adding to a stack, and nothing of the stack moves for it. (No test here has a GPU.)"""

import pytest

from harness.errors import BenchError
from harness.stacks import environments
from harness.stacks.locks import get_stack
from harness.stacks.uv_command import run_uv


def test_no_accelerator_is_the_rule(monkeypatch):
    monkeypatch.delenv("BENCH_JAX", raising=False)
    assert environments.accelerator() == ""


def test_an_unknown_accelerator_is_one_sentence_that_names_the_known_ones(monkeypatch):
    monkeypatch.setenv("BENCH_JAX", "rocm")
    with pytest.raises(BenchError, match="cuda12 or cuda13"):
        environments.accelerator()


def test_the_plugin_is_that_of_the_stacks_own_jax(monkeypatch):
    monkeypatch.setenv("BENCH_JAX", "cuda12")
    stack = get_stack("v6.4.0")
    assert environments.accelerated_jax(stack)[0] == f"jax[cuda12]=={stack.packages['jax']}"


def test_an_environment_with_an_accelerator_is_another_environment(monkeypatch):
    stack = get_stack("v6.4.0")
    monkeypatch.delenv("BENCH_JAX", raising=False)
    plain = environments.digest(stack)
    monkeypatch.setenv("BENCH_JAX", "cuda12")
    assert environments.digest(stack) != plain


@pytest.mark.network
@pytest.mark.parametrize("tag", ["v5.20.0", "v6.4.0"])
def test_only_the_plugin_and_its_libraries_are_added(monkeypatch, tag):
    monkeypatch.setenv("BENCH_JAX", "cuda12")
    stack = get_stack(tag)
    pins = [f"{name}=={version}" for name, version in stack.packages.items()]
    asked = [*pins, environments.accelerated_jax(stack)[0]]
    resolved = run_uv(
        ["pip", "compile", "-", "--quiet", "--no-header", "--no-annotate", "--python-version", "3.12",
         "--python-platform", "x86_64-manylinux_2_28"],
        doing="resolving", stdin="\n".join(asked),
    )  # fmt: skip
    got = dict(line.split("==") for line in resolved.splitlines() if "==" in line and not line.startswith("#"))
    added = {name: version for name, version in got.items() if stack.packages.get(name) != version}
    assert set(stack.packages) <= set(got)
    assert "jax-cuda12-plugin" in added
    assert all(name.startswith(("jax-cuda12", "nvidia-")) for name in added)
