"""Fixtures for all tests."""

import pytest

import cases


@pytest.fixture
def arms():
    return cases.arms()
