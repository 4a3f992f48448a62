"""Large bodies through a guest that passes them on, to a peer that is slow and stalls: the short form of `./dev bodies`."""
from bodies import ROOM, growth
from harness import check


def bodies_both_ways_take_no_room_of_their_own_while_the_peer_stalls():
    grown, _ = growth(16 << 20, 100_000_000, 0.5, 4)
    check(grown < ROOM, f"{grown} bytes a request")
    return f"{grown >> 10} KiB a request"
