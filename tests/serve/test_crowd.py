"""A thousand connections to guests that make as much as they may (10,000: `./dev spent connections`): the process stays within --process-memory."""
import crowd
from harness import Skip, config


def _crowd(kind):
    if not config.release:
        raise Skip("another build's memory says nothing")
    return crowd.crowd(kind, 1000, 512)


def a_thousand_guests_that_write_to_all_their_memory():
    return _crowd("memory of its own")


def a_thousand_guests_that_make_long_fields():
    return _crowd("long_fields")


def a_thousand_guests_that_hold_bodies():
    return _crowd("held_bodies")
