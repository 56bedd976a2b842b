"""Fixtures for all tests, and how they are shared between processes."""

import os
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # bits depend on it; read when torch is imported

import pytest
from support import cases


@pytest.fixture
def arms():
    return cases.arms()


@pytest.fixture(autouse=True)
def no_warning_is_left():
    """Calls of the package show warnings that are to be errors; none may be left unexpected."""
    with warnings.catch_warnings(record=True) as caught:
        yield
    assert [str(warning.message) for warning in caught] == []


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Keep the tests of a file in one process (they share what it trained), the longest first."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    items.sort(key=lambda item: item.path.stem != "test_reproduce")
