"""What the system refuses becomes one line with a remedy."""

import errno
import os
from pathlib import Path

import pytest

from jumpretrain.storage.system_errors import explained

REMEDIES = {
    "ENOSPC": "free space and repeat the call: it goes on",
    "EDQUOT": "raise the quota and repeat the call",
    "EMFILE": r"ulimit -n\) and repeat the call: it goes on",
    "EIO": "check the disk and repeat the call: it goes on",
    "EACCES": "change its permissions or name another folder",
    "EROFS": "copy what is there to a file system that is not read-only, or name a folder on one",
    "ENAMETOOLONG": "name a folder with a shorter path",
    "ENOENT": "never there; check its name and repeat the call",
    "ENOTDIR": "a file stands where a folder should",
    "ETXTBSY": "remove the cause and repeat the call",
}


def fail(name, act="written"):
    number = getattr(errno, name)
    with explained(Path("runs/a"), act):
        raise OSError(number, os.strerror(number))


@pytest.mark.parametrize("name", REMEDIES)
@pytest.mark.parametrize("act", ["written", "read", "removed", "locked"])
def test_an_error_of_the_system_names_file_reason_and_remedy_in_one_line(name, act):
    with pytest.raises(ValueError, match=REMEDIES[name]) as found:
        fail(name, act)
    said = str(found.value)
    assert f"runs/a cannot be {act} ({os.strerror(getattr(errno, name))})" in said
    assert "\n" not in said and "delete" not in said
    assert isinstance(found.value.__cause__, OSError)


@pytest.mark.parametrize("name", ["ENOLCK", "ENOSYS", "EOPNOTSUPP"])
def test_a_file_system_without_locks_is_not_said_to_be_in_use(name):
    with pytest.raises(ValueError, match="has no locks here; name a local folder"):
        fail(name, "locked")


def test_other_errors_pass_as_they_are():
    with pytest.raises(KeyError), explained(Path("a"), "read"):
        raise KeyError("b")
