"""Which tests share a process, how often it looks for garbage, and that the loop runs instead of kernels."""

import gc

import hypothesis
import pytest

# Tracing makes millions of objects that stay; looking for garbage among them is a tenth of the time.
gc.set_threshold(100_000, 20, 20)
hypothesis.settings.register_profile("quick", max_examples=40, deadline=None)
hypothesis.settings.load_profile("quick")


@pytest.fixture(autouse=True, scope="session")
def the_loop_runs():
    """A kernel takes seconds to compile: `layers/test_fused.py`, which compares the two, alone has some."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUMBA_DISABLE_JIT", "1")
        yield


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Tests in a file of `tests/pipelines` share a process, as they share trained runs; the rest is spread."""
    from xdist.scheduler import LoadScopeScheduling

    class ByRun(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return nodeid.split("::")[0] if nodeid.startswith("tests/pipelines/") else nodeid

    return ByRun(config, log)
