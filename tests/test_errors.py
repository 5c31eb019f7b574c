from __future__ import annotations

import inspect

import pytest

from gedanken import errors
from gedanken.errors import ConfigError, GedankenError, StoreError, UnsupportedSpace, WorldError, WorldHung

ALL = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, GedankenError)]


def test_message_says_what_given_expected_and_do_in_that_order():
    error = StoreError("It broke.", given=3, expected="a 4", do="mend it.")
    assert str(error) == "It broke. Given: 3. Expected: a 4. Do: mend it."
    assert (error.what, error.given, error.expected, error.do) == ("It broke.", 3, "a 4", "mend it.")


def test_what_was_not_told_is_left_out():
    assert str(ConfigError("It broke.")) == "It broke."
    assert str(ConfigError("It broke.", do="mend it.")) == "It broke. Do: mend it."


def test_a_given_zero_or_empty_text_is_shown():
    assert "Given: 0." in str(ConfigError("It broke.", given=0))
    assert "Given: ." in str(ConfigError("It broke.", given=""))


@pytest.mark.parametrize("kind", ALL)
def test_every_error_is_caught_as_the_base_and_ends_with_a_code_of_its_own(kind):
    with pytest.raises(GedankenError, match="It broke"):
        raise kind("It broke.")
    assert kind.exit_code not in (0, None)
    relatives = [other for other in ALL if issubclass(other, kind) or issubclass(kind, other)]
    assert all(other.exit_code != kind.exit_code for other in ALL if other not in relatives)


def test_narrower_errors_are_caught_as_the_wider_ones():
    assert issubclass(UnsupportedSpace, ConfigError)
    assert issubclass(WorldHung, WorldError)
