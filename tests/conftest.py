"""Which tests share a process."""

import pytest


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Tests in a file of `tests/pipelines` share a process, as they share trained runs; the rest is spread."""
    from xdist.scheduler import LoadScopeScheduling

    class ByRun(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return nodeid.split("::")[0] if nodeid.startswith("tests/pipelines/") else nodeid

    return ByRun(config, log)
