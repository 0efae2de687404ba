"""Every Redis key and stream, as functions.

The hash tag in braces is the partition: all keys of one Lua call share it, so the same code runs on
one server and on a cluster. Award state also carries the partition's generation: a rebuild writes
beside the old state and raises the generation to switch.
"""

from __future__ import annotations

AWARD_PARTITIONS = 16
CLICK_PARTITIONS = 8


# Awards: `{a07}`.


def award_stream(partition: int) -> str:
    """The stream of points and stamps events; entry ids are `generation-firstsequence`."""
    return f"{{a{partition:02d}}}:ev"


def award_head(partition: int) -> str:
    """Hash: `gen` generation, `seq` last sequence, `open` 1 or 0, `run` the run id at opening."""
    return f"{{a{partition:02d}}}:head"


def award_balances(partition: int, generation: int) -> str:
    """Hash: `program:member:p|s` available and `…:hp|hs` held; the account's existence."""
    return f"{{a{partition:02d}}}:{generation}:bal"


def award_marker(partition: int, generation: int, scope: bytes) -> bytes:
    """String with a TTL: the answer that was given for one idempotency key."""
    return b"{a%02d}:%d:i:%b" % (partition, generation, scope)


def award_scope(program_id: str, caller: str, subject: str, key: str) -> bytes:
    """The scope of an idempotency key; the subject is the member, or the hold that is closed."""
    return f"{program_id}:{caller}:{subject}:{key}".encode()


def award_limits(partition: int, generation: int, day: str) -> str:
    """Hash with a TTL: amounts awarded on one day of the program's time zone, and stamp times."""
    return f"{{a{partition:02d}}}:{generation}:lim:{day}"


def award_last_stamp(partition: int, generation: int) -> str:
    """Hash: `program:member` → milliseconds of the last stamp, for the minimum interval."""
    return f"{{a{partition:02d}}}:{generation}:last"


def award_budget(partition: int, generation: int) -> str:
    """Hash: `program:kind` → what is left of the lease on the program's budget."""
    return f"{{a{partition:02d}}}:{generation}:lease"


def award_reversed(partition: int, generation: int) -> str:
    """Hash: award id → total reversed so far."""
    return f"{{a{partition:02d}}}:{generation}:rev"


def award_holds(partition: int, generation: int) -> str:
    """Hash: hold id → `program:member:kind:amount` while it is open."""
    return f"{{a{partition:02d}}}:{generation}:hold"


def award_hold_expiries(partition: int, generation: int) -> str:
    """Sorted set: hold id by expiry in milliseconds."""
    return f"{{a{partition:02d}}}:{generation}:exp"


def award_state(partition: int, generation: int) -> list[str | bytes]:
    """The keys of a points call, in the script's order; markers and limits follow them."""
    return [
        award_head(partition),
        award_stream(partition),
        award_balances(partition, generation),
        award_holds(partition, generation),
        award_hold_expiries(partition, generation),
        award_reversed(partition, generation),
        award_last_stamp(partition, generation),
        award_budget(partition, generation),
    ]


# Clicks: `{c3}`.


def click_stream(partition: int) -> str:
    """The stream of click batches."""
    return f"{{c{partition}}}:ev"


def click_counts(partition: int) -> str:
    """Hash: `link_id:class` → clicks since the link was made, this partition's share. The number
    after the last, CLICK_PARTITIONS, holds what was restored after Redis had lost its numbers.
    """
    return f"{{c{partition}}}:n"


def click_marks(partition: int, run: int, chunk: int) -> str:
    """Bitmap with a TTL: which batches of a process were applied (65,536 batches a chunk)."""
    return f"{{c{partition}}}:b:{run}:{chunk}"


def premint(click_id: str) -> str:
    """String with a TTL: a click that the API made beforehand."""
    return f"{{p:{click_id}}}"


def link_cap(link_id: str) -> str:
    """Counter: redirects that were admitted on a capped link."""
    return f"{{{link_id}}}:cap"


# Offers: a tag for each program.


def offer_generation(program_id: str) -> str:
    """Counter: how often the program's offers have changed."""
    return f"{{of:{program_id}}}:gen"


def offer_copy(program_id: str, generation: str, name: str) -> str:
    """String with a TTL: a list of offers, packed."""
    return f"{{of:{program_id}}}:{generation}:{name}"


OFFER_CHANGES = "{offers}:changes"  # stream: `p` program id

# Links: one tag, so that a snapshot and its announcement are one call.

LINK_CHANGES = "{links}:changes"
BOOTS = "boots"
INSTALLED = "installed"  # set when links, live numbers and caps are in this Redis


def link_snapshot(slug: str) -> str:
    """Hash: `v` version, `b` snapshot (empty: deleted)."""
    return f"{{links}}:{slug}"


LINK_CAPS_REACHED = "{links}:caps"  # stream: `l` link id, one entry when a cap is reached


# The dashboard: a tag for each program.


def dashboard(program_id: str) -> str:
    """String with a TTL: how the program is doing, as it is answered."""
    return f"{{db:{program_id}}}:metrics"


# Limits: a tag for each caller.


def rate_limit(policy: str, who: str) -> str:
    """String with a TTL: the microsecond at which all that the caller spent is earned again."""
    return f"{{rl:{policy}:{who}}}"


def failures(who: str) -> str:
    """Sorted set with a TTL: failed tries, and tries under way, by when they are forgotten."""
    return f"{{try:{who}}}"


# Identity.

AUTH_CHANGES = "{auth}:changes"  # stream: `k` session, subject or key, `i` id, `u` until (s)


# The audit log: `{audit}`.


def audit_heads() -> str:
    """Hash: program id ('' is the installation) → `position:digest` of the chain's last head."""
    return "{audit}:heads"


# Sign-ins with a provider that are under way.


def sign_in_state(digest: str) -> str:
    """String with a TTL: what was begun with the state of this hash."""
    return f"{{o:{digest}}}:state"


def sign_in_code(digest: str) -> str:
    """String with a TTL, sealed: whom a provider named, for the code of this hash."""
    return f"{{o:{digest}}}:code"
