"""Fixtures for all tests, and how they are shared between processes."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # bits depend on it; read when torch is imported

import pytest
from support import cases


@pytest.fixture
def arms():
    return cases.arms()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Keep the tests of a file in one process (they share what it trained), the longest first."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    items.sort(key=lambda item: item.path.stem != "test_reproduce")
