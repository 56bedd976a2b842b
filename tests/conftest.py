"""Fixtures for all tests."""

import cases
import pytest


@pytest.fixture
def arms():
    return cases.arms()
