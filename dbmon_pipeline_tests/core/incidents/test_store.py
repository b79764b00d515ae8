"""Incidents: when one begins, gets worse, is over, and what people are told of it."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from dbmon_pipeline.core.common.errors import IncidentError
from dbmon_pipeline.core.config.notifications import Notifications
from dbmon_pipeline.core.incidents.incident import (
    Finding,
    Incident,
    IncidentState,
    Kind,
    Notification,
)
from dbmon_pipeline.core.incidents.store import Incidents
from dbmon_pipeline_tests.core.incidents.rounds import (
    BETWEEN,
    ESCALATED,
    FAR,
    GOOD,
    HOUR,
    MINUTE,
    OPENED_C,
    OPENED_W,
    REMINDED,
    RESOLVED_C,
    RESOLVED_W,
    START,
    C,
    W,
    finding,
    play,
    target,
    told,
    using,
)

PLAYS: dict[str, tuple[list[Finding], list[str], list[tuple[str, str, str]]]] = {
    "one bad round is enough": ([finding(W)], ["firing warning"], [OPENED_W]),
    "good ones open nothing": ([GOOD, BETWEEN, GOOD], ["-", "-", "-"], []),
    "three in a row": (
        [finding(C, evaluations=3)] * 4,
        ["pending critical", "pending critical", "firing critical", "firing critical"],
        [OPENED_C],
    ),
    "a good one in between begins anew": (
        [finding(W, evaluations=2), GOOD, finding(W, evaluations=2), finding(W, evaluations=2)],
        ["pending warning", "-", "pending warning", "firing warning"],
        [OPENED_W],
    ),
    "not recovered ends what is pending, too": (
        [finding(W, evaluations=2), BETWEEN, finding(W, evaluations=2)],
        ["pending warning", "-", "pending warning"],
        [],
    ),
    "pending has the severity of the last round": (
        [finding(severity, evaluations=3) for severity in (C, W, W)],
        ["pending critical", "pending warning", "firing warning"],
        [OPENED_W],
    ),
    "escalated": (
        [finding(W), finding(C)],
        ["firing warning", "firing critical"],
        [OPENED_W, ESCALATED],
    ),
    "silently down, and up again": (
        [finding(C), finding(W), finding(C), GOOD],
        ["firing critical", "firing warning", "firing critical", "-"],
        [OPENED_C, RESOLVED_C],
    ),
    "resolved at once": ([finding(W), GOOD], ["firing warning", "-"], [OPENED_W, RESOLVED_W]),
    "not recovered stays": (
        [finding(W), BETWEEN, BETWEEN, GOOD],
        ["firing warning", "firing warning", "firing warning", "-"],
        [OPENED_W, RESOLVED_W],
    ),
    "two good ones": (
        [finding(W), *[finding(evaluations=2)] * 2],
        ["firing warning", "recovering warning", "-"],
        [OPENED_W, RESOLVED_W],
    ),
    "back while it recovers": (
        [finding(W), finding(evaluations=2), finding(W), finding(evaluations=2)],
        ["firing warning", "recovering warning", "firing warning", "recovering warning"],
        [OPENED_W],
    ),
    "back and worse while it recovers": (
        [finding(W), finding(evaluations=2), finding(C)],
        ["firing warning", "recovering warning", "firing critical"],
        [OPENED_W, ESCALATED],
    ),
    "not recovered counts from the start": (
        [
            *(finding(C), finding(evaluations=2), finding(is_recovered=False, evaluations=2)),
            *[finding(evaluations=2)] * 2,
        ],
        ["firing critical", *["recovering critical"] * 3, "-"],
        [OPENED_C, RESOLVED_C],
    ),
    "unknown changes no counter": (
        [
            finding(W, evaluations=2),
            finding(W, evaluations=2, is_known=False),
            finding(is_known=False),
            finding(W, evaluations=2),
            finding(evaluations=2),
            finding(evaluations=2, is_known=False),
            finding(C, is_known=False),
            finding(evaluations=2),
        ],
        [*["pending warning"] * 3, "firing warning", *["recovering warning"] * 3, "-"],
        [OPENED_W, RESOLVED_W],
    ),
    "and again": (
        [finding(W), GOOD, finding(C), GOOD],
        ["firing warning", "-", "firing critical", "-"],
        [OPENED_W, RESOLVED_W, OPENED_C, RESOLVED_C],
    ),
}


@pytest.mark.parametrize(("rounds", "expected", "news"), PLAYS.values(), ids=PLAYS)
def test_states(
    store: Incidents,
    rounds: list[Finding],
    expected: list[str],
    news: list[tuple[str, str, str]],
) -> None:
    """Where an incident stands after each round, and what was told by the end."""
    assert play(store, *rounds) == expected
    assert told(store) == news


def test_an_incident_tells_its_story(store: Incidents) -> None:
    """Every attribute, at each stage, and only what has changed is returned."""
    first, worse = finding(W, evaluations=2), finding(C, value=0.1, labels={"team": "ml"})
    (pending,) = store.observe([first], START)
    assert pending == Incident(
        number=1,
        state=IncidentState.PENDING,
        severity=W,
        worst=W,
        opened_at=START,
        changed_at=START,
        resolved_at=None,
        acknowledged_by=None,
        finding=first,
    )
    (firing,) = store.observe([first], START + MINUTE)
    assert (firing.state, firing.opened_at) == (IncidentState.FIRING, START)
    assert firing.changed_at == START + MINUTE
    assert store.observe([first], START + 2 * MINUTE) == []
    assert store.incident(1).changed_at == START + MINUTE
    (worst,) = store.observe([worse], START + 3 * MINUTE)
    assert (worst.severity, worst.worst, worst.finding) == (C, C, worse)
    (better,) = store.observe([first], START + 4 * MINUTE)
    assert (better.severity, better.worst) == (W, C)
    (over,) = store.observe([GOOD], START + 5 * MINUTE)
    assert (over.state, over.severity, over.worst) == (IncidentState.RESOLVED, W, C)
    assert over.resolved_at == over.changed_at == START + 5 * MINUTE
    assert store.incident(1) == over
    assert store.open_incidents() == []


def test_what_was_only_pending_never_was(store: Incidents) -> None:
    """It has no history, and its number is not used again."""
    play(store, finding(W, evaluations=2))
    assert [incident.number for incident in store.open_incidents()] == [1]
    assert store.history(None, 9) == []
    assert store.observe([GOOD], START + HOUR) == []
    with pytest.raises(IncidentError, match="there is no incident 1"):
        store.incident(1)
    (incident,) = store.observe([finding(W)], START + 2 * HOUR)
    assert incident.number == 2


def test_a_round_that_is_repeated_changes_nothing(store: Incidents) -> None:
    """Nor does an older one, whatever it says; nor is a finding of one round counted twice."""
    bad = finding(W, evaluations=3)
    assert len(store.observe([bad, bad], START)) == 1
    for at in (START, START - HOUR):
        assert store.observe([bad], at) == []
        assert store.observe([GOOD], at) == []
        assert store.observe([], at) == []
    assert play(store, bad, bad, start=START + MINUTE) == ["pending warning", "firing warning"]
    assert told(store) == [OPENED_W]
    store.observe([GOOD], START + HOUR)
    assert store.observe([finding(C)], START + HOUR) == []
    assert told(store) == [RESOLVED_W]
    # What was good is remembered without an incident, too.
    other = finding(rule="error_rate")
    store.observe([GOOD, other], START + 2 * HOUR)
    assert store.observe([finding(C, "error_rate")], START + 2 * HOUR) == []


def test_each_scope_has_its_incident(store: Incidents) -> None:
    """And each rule; the worst come first, then the oldest."""
    store.observe([finding(W, scope="a"), finding(C, "error_rate", "a")], START)
    store.observe([finding(W, scope="b"), finding(C, scope="c")], START + MINUTE, complete=False)
    store.observe([finding(C, scope="b")], START + 2 * MINUTE, complete=False)
    assert [
        (incident.number, incident.finding.fingerprint) for incident in store.open_incidents()
    ] == [
        (2, "error_rate/a"),
        (3, "success_rate/b"),
        (4, "success_rate/c"),
        (1, "success_rate/a"),
    ]


def test_a_rule_that_was_removed_ends_its_incidents(store: Incidents) -> None:
    """In a complete round only, and those of the program itself are not meant."""
    bad = [finding(W), finding(W, "error_rate", evaluations=2), finding(C, "_run_failed")]
    store.observe(bad, START)
    assert store.observe([], START + MINUTE, complete=False) == []
    (over,) = store.observe([finding(rule="database_size")], START + 2 * MINUTE)
    assert (over.number, over.resolved_at) == (1, START + 2 * MINUTE)
    assert [one.finding.rule for one in store.open_incidents()] == ["_run_failed"]
    assert told(store) == [OPENED_W, OPENED_C, RESOLVED_W]
    assert [one.number for one in store.history(None, 9)] == [3, 1]
    assert store.observe([finding(rule="database_size")], START + 99 * HOUR) == []


def test_a_scope_that_is_missing_ends_after_a_day(store: Incidents) -> None:
    """Counted from when it was judged last; what is unknown is not missing."""
    here, gone = finding(scope="here"), finding(W, scope="gone", evaluations=2)
    store.observe([here, gone], START - MINUTE)
    store.observe([here, gone, finding(W, scope="late", evaluations=2)], START)
    for hours in (1, 23):
        assert store.observe([here], START + hours * HOUR) == []
    unknown = finding(W, scope="gone", is_known=False)
    assert store.observe([here, unknown], START + 24 * HOUR) == []
    assert [one.finding.scope for one in store.open_incidents()] == ["gone"]  # `late` was pending
    (over,) = store.observe([here], START + 25 * HOUR)
    assert (over.number, over.state) == (1, IncidentState.RESOLVED)


def test_whoever_acknowledges_is_left_alone(store: Incidents) -> None:
    """Until it gets worse; coming back while it recovers, it is still acknowledged."""
    play(store, finding(W))
    taken = store.acknowledge(1, "ada", START + MINUTE)
    assert (taken.state, taken.acknowledged_by) == (IncidentState.ACKNOWLEDGED, "ada")
    assert store.acknowledge(1, "ada", START + HOUR) == taken == store.incident(1)
    assert taken.changed_at == START + MINUTE
    assert store.acknowledge(1, "bob", START + HOUR).acknowledged_by == "bob"
    recovering = finding(evaluations=2)
    states = play(store, finding(W), recovering, finding(W), finding(C), start=START + 99 * HOUR)
    assert states == [
        *("acknowledged warning", "recovering warning", "acknowledged warning"),
        "acknowledged critical",
    ]
    assert told(store) == [OPENED_W, ESCALATED]
    play(store, GOOD, finding(W), start=START + 200 * HOUR)
    again = store.incident(2)
    assert (again.state, again.acknowledged_by) == (IncidentState.FIRING, None)


def test_a_recovering_incident_can_be_acknowledged(store: Incidents) -> None:
    """It goes on recovering."""
    play(store, finding(W), finding(evaluations=3))
    assert store.acknowledge(1, "ada", START + HOUR).state is IncidentState.RECOVERING
    assert store.incident(1).changed_at == START + MINUTE
    assert play(store, finding(W), start=START + HOUR) == ["acknowledged warning"]


def test_only_what_is_open_can_be_acknowledged(store: Incidents) -> None:
    """The numbers that can are named."""
    message = r"incident 1 is not open: there is none at present"
    with pytest.raises(IncidentError, match=message):
        store.acknowledge(1, "ada", START)
    rules = ["success_rate", "a", "b", "c"]
    store.observe([finding(W, rule) for rule in rules], START)
    store.observe([GOOD, finding(W, "d", evaluations=2)], START + MINUTE, complete=False)
    for number in (1, 5, 99, 10**30):
        with pytest.raises(IncidentError, match=rf"incident {number} is not open: name .* 2, 3, 4"):
            store.acknowledge(number, "ada", START)
    with pytest.raises(IncidentError, match="there is no incident"):
        store.incident(10**30)
    assert {one.acknowledged_by for one in store.open_incidents()} == {None}


def test_reminders(store: Incidents) -> None:
    """Each day while it fires and nobody has taken it on."""
    told_at = []
    for hour in range(0, 73, 3):
        store.observe([finding(W)], START + hour * HOUR)
        told_at += [(hour, kind) for _, kind, _ in told(store)]
    assert told_at == [(0, "opened"), (24, "reminder"), (48, "reminder"), (72, "reminder")]
    store.acknowledge(1, "ada", START + 73 * HOUR)
    play(store, finding(W), start=START + 99 * HOUR)
    assert told(store) == []


def test_an_escalation_is_a_reminder_too(store: Incidents) -> None:
    """The day counts from when it was told last; a rule in another round is no obstacle."""
    store.observe([finding(W)], START)
    store.observe([finding(C)], START + 20 * HOUR)
    store.observe([finding(C)], START + 43 * HOUR)
    assert told(store) == [OPENED_W, ESCALATED]
    store.observe([finding(rule="other")], START + 44 * HOUR, complete=False)
    assert told(store) == [("team", "reminder", "critical")]


def test_a_milder_reminder_takes_nothing_back(store: Incidents) -> None:
    """That it was critical is known, even if the last that was told was a warning."""
    store.observe([finding(C)], START)
    store.observe([finding(W)], START + 24 * HOUR)
    store.observe([finding(C)], START + 25 * HOUR)
    assert told(store) == [OPENED_C, REMINDED]


def test_nothing_is_reminded_of_while_it_recovers(store: Incidents) -> None:
    """Nor at night, when a silence covers it."""
    store = using(store, targets={"team": target()}, reminder_hours=1)
    play(store, finding(W), finding(evaluations=9), start=START)
    store.observe([finding(evaluations=9)], START + 2 * HOUR)
    assert told(store) == [OPENED_W]
    store.silence({"rule": "success_rate"}, START + 4 * HOUR, "ada", START)
    store.observe([finding(W)], START + 3 * HOUR)
    assert told(store) == []
    store.observe([finding(W)], START + 4 * HOUR)
    assert told(store) == [REMINDED]
    store.close()


def test_who_is_told_what(store: Incidents) -> None:
    """By severity and owner; the end goes to those who were told."""
    store = using(
        store,
        targets={
            "all": target(),
            "pager": target(severities=(C,)),
            "ops": target(owners=("ops", "ml")),
            "others": target(owners=("web",)),
            "off": target(enabled=False),
        },
    )
    play(store, finding(W))
    assert [one.target for one in store.undelivered()] == ["all", "ops"]
    assert told(store) == [("all", "opened", "warning"), ("ops", "opened", "warning")]
    play(store, finding(C), start=START + HOUR)
    assert [(who, kind) for who, kind, _ in told(store)] == [
        *(("all", "escalated"), ("pager", "escalated"), ("ops", "escalated")),
    ]
    play(store, finding(W), start=START + 26 * HOUR)
    assert [(who, kind) for who, kind, _ in told(store)] == [
        *(("all", "reminder"), ("ops", "reminder")),
    ]
    store = using(store, targets={"all": target(enabled=False), "pager": target(severities=(C,))})
    play(store, finding(owner="web"), start=START + 27 * HOUR)
    assert [one.target for one in store.undelivered()] == ["pager"]
    assert told(store) == [("pager", "resolved", "warning")]
    store.close()


def test_what_nobody_was_told_is_told_as_soon_as_somebody_can_be(store: Incidents) -> None:
    """And ends without a word if that never was."""
    store = using(store, targets={"pager": target(severities=(C,))})
    play(store, finding(W), GOOD)
    assert told(store) == []
    play(store, finding(W), start=START + HOUR)
    store = using(store, targets={"team": target()})
    play(store, finding(W), start=START + 2 * HOUR)
    assert told(store) == [OPENED_W]
    store.close()


def test_history(store: Incidents) -> None:
    """The newest first, those that were not over before an instant, and not too many."""
    for hour in range(4):
        play(store, finding(W), GOOD, start=START + hour * HOUR)
    store.observe([finding(C, "a"), finding(C, "b", evaluations=2)], START, complete=False)

    def numbers(since: datetime | None, limit: int = 99) -> list[int]:
        return [incident.number for incident in store.history(since, limit)]

    assert numbers(None) == [4, 3, 2, 5, 1]
    assert numbers(None, 2) == [4, 3]
    assert numbers(START + HOUR + MINUTE) == [4, 3, 2, 5]
    assert numbers(START + HOUR + 2 * MINUTE) == [4, 3, 5]
    assert numbers(START + 99 * HOUR) == [5]


def test_forgetting(store: Incidents) -> None:
    """What is over leaves, what is open stays, and numbers are not used again."""
    for hour in range(3):
        play(store, finding(W), GOOD, start=START + hour * HOUR)
    store.observe([finding(W, "old")], START, complete=False)
    store.forget(START + HOUR + MINUTE)
    assert [incident.number for incident in store.history(None, 9)] == [3, 2, 4]
    store.forget(START + 99 * HOUR)
    assert [incident.number for incident in store.history(None, 9)] == [4]
    # The open one is still protected from a repeated round; the others' rounds are forgotten.
    assert store.observe([finding(rule="old")], START, complete=False) == []
    (new,) = store.observe([finding(W)], START + HOUR, complete=False)
    assert new.number == 5


def test_what_is_stored_is_what_was_found(store: Incidents) -> None:
    """Every field of a finding, across closing and opening."""
    full = finding(
        C,
        scope="repo/Ünï/'quoted\" \n",
        evaluations=1,
        value=None,
        limit=None,
        window_start=None,
        window_end=datetime(2026, 3, 2, 1, 2, 3, 456789),
        contributors=("org/api: 12 failures", "org/web: 3"),
        labels={"tier": "large"},
    )
    store.observe([full], START)
    with using(store, targets={}) as again:
        assert again.incident(1).finding == full


LETTERS = {
    "W": {"severity": W},
    "C": {"severity": C},
    "g": {},
    "h": {"is_recovered": False},
    "u": {"is_known": False},
    "U": {"severity": C, "is_known": False},
}
FINGERPRINTS = [("a", "x"), ("a", "y"), ("b", "x"), ("_c", "x")]


class Story:
    """What was found of one incident, a letter for each round: all else follows from it."""

    def __init__(self, at: datetime) -> None:
        """Begin with nothing."""
        self.letters = ""
        self.fired = False
        self.opened_at = at
        self.by: str | None = None
        self.level = ""
        self.told_at = at
        self.who: set[str] = set()

    def is_over(self, evaluations: int) -> bool:
        """Whether the last letters are enough good ones."""
        if not self.fired:
            return not re.search("[WC]$", self.letters)
        return bool(re.search(rf"g{{{evaluations}}}$", self.letters))

    def state(self) -> str:
        """Where it stands while it is not over."""
        if not self.fired:
            return "pending"
        if re.search("g[gh]*$", self.letters):
            return "recovering"
        return "acknowledged" if self.by else "firing"

    def severity(self) -> str:
        """The last bad letter."""
        return "critical" if re.sub("[gh]", "", self.letters)[-1] == "C" else "warning"

    def facts(self) -> tuple[str, str, str, datetime, str | None]:
        """What an incident has of it."""
        worst = "critical" if "C" in self.letters else "warning"
        return self.state(), self.severity(), worst, self.opened_at, self.by


class AnyHistory(RuleBasedStateMachine):
    """Random rounds, acknowledgements and silences, against stories told by their letters."""

    def __init__(self) -> None:
        """A new file, and nothing known."""
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.now = START
        self.stories: dict[tuple[str, str], Story] = {}
        self.judged: dict[tuple[str, str], datetime] = {}
        self.quiet: dict[int, tuple[dict[str, str], datetime]] = {}
        self.news: list[tuple[str, str, tuple[str, str], str]] = []
        self.store = Incidents(
            Path(self.folder.name) / "incidents.sqlite",
            notifications=Notifications(
                targets={"all": target(), "pager": target(severities=(C,))}, reminder_hours=20
            ),
        )

    @initialize(evaluations=st.tuples(*[st.integers(1, 3)] * 3))
    def begin(self, evaluations: tuple[int, int, int]) -> None:
        """Each rule has its own patience."""
        self.evaluations = dict(zip(("a", "b", "_c"), evaluations, strict=True))

    @rule(
        letters=st.tuples(*[st.sampled_from(" WWCCgggghuU")] * len(FINGERPRINTS)),
        passed=st.sampled_from([0, 1, 1, 1, 5, 13]),
        complete=st.booleans(),
    )
    def observe(self, letters: Sequence[str], passed: int, complete: bool) -> None:
        """A round; one after no time at all is a repeated one."""
        self.now += passed * HOUR
        found = dict(zip(FINGERPRINTS, letters, strict=True))
        self.store.observe(
            [
                finding(rule=name, scope=scope, evaluations=self.evaluations[name], **LETTERS[one])  # type: ignore[arg-type]
                for (name, scope), one in found.items()
                if one != " "
            ],
            self.now,
            complete=complete,
        )
        late = {pair for pair, at in self.judged.items() if at >= self.now}
        seen = {pair: one for pair, one in found.items() if one != " "}
        for pair, one in seen.items():
            if pair not in late and one in "WCgh":
                self.judged[pair] = self.now
                story = self.stories.setdefault(pair, Story(self.now))
                story.letters += one
                fires = rf"[WC]{{{self.evaluations[pair[0]]}}}$"
                story.fired |= bool(re.search(fires, story.letters))
        for pair, story in list(self.stories.items()):
            is_over = story.is_over(self.evaluations[pair[0]])
            if complete and pair not in seen and pair not in late and pair[0] != "_c":
                is_over |= pair[0] not in {name for name, _ in seen}
                is_over |= self.now - self.judged[pair] >= 24 * HOUR
            if is_over:
                del self.stories[pair]
                if story.fired:
                    self.news += [(who, "resolved", pair, story.severity()) for who in story.who]
            elif pair not in late:
                self.tell(pair, story)
        self.check()

    def tell(self, pair: tuple[str, str], story: Story) -> None:
        """What people hear of an open incident."""
        if story.state() not in ("firing", "acknowledged") or self.is_quiet(pair, story):
            return
        severity = story.severity()
        is_worse = story.level == "" or (story.level, severity) == ("warning", "critical")
        if is_worse:
            kind = "escalated" if story.level else "opened"
            story.level = severity
        elif story.state() == "firing" and self.now - story.told_at >= 20 * HOUR:
            kind = "reminder"
        else:
            return
        story.told_at = self.now
        who = {"all", "pager"} if severity == "critical" else {"all"}
        story.who |= who
        self.news += [(one, kind, pair, severity) for one in who]

    def is_quiet(self, pair: tuple[str, str], story: Story) -> bool:
        """Whether a silence covers it."""
        has = {"rule": pair[0], "scope": pair[1], "severity": story.severity()}
        return any(
            until > self.now and matcher.items() <= has.items()
            for matcher, until in self.quiet.values()
        )

    @rule(place=st.integers(0, 3))
    def acknowledge(self, place: int) -> None:
        """Take one on, or fail to."""
        pair = FINGERPRINTS[place]
        story = self.stories.get(pair)
        number = next(
            (
                one.number
                for one in self.store.open_incidents()
                if (one.finding.rule, one.finding.scope) == pair
            ),
            0,
        )
        if story is None or not story.fired:
            with pytest.raises(IncidentError, match="is not open"):
                self.store.acknowledge(number, "ada", self.now)
        else:
            self.store.acknowledge(number, "ada", self.now)
            story.by = "ada"
        self.check()

    @rule(
        matcher=st.sampled_from([{"rule": "a"}, {"severity": "warning"}, {"scope": "x"}]),
        hours=st.integers(1, 30),
    )
    def silence(self, matcher: dict[str, str], hours: int) -> None:
        """Have some of it not told."""
        until = self.now + hours * HOUR
        self.quiet[self.store.silence(matcher, until, "ada", self.now)] = (matcher, until)

    @precondition(lambda self: self.quiet)
    @rule()
    def unsilence(self) -> None:
        """End the oldest silence, if time has not."""
        number = min(self.quiet)
        _, until = self.quiet.pop(number)
        if until > self.now:
            self.store.unsilence(number, self.now)
        else:
            with pytest.raises(IncidentError, match="there is no silence"):
                self.store.unsilence(number, self.now)

    def check(self) -> None:
        """The open incidents are the stories, and what was told is what they tell."""
        opened = self.store.open_incidents()
        pairs = [(one.finding.rule, one.finding.scope) for one in opened]
        assert len(pairs) == len(set(pairs))
        assert {
            pair: (one.state, one.severity, one.worst, one.opened_at, one.acknowledged_by)
            for pair, one in zip(pairs, opened, strict=True)
        } == {pair: story.facts() for pair, story in self.stories.items()}
        assert Counter(
            (one.target, one.kind, (one.incident.finding.rule, one.incident.finding.scope), level)
            for one in self.outbox()
            for level in [one.incident.severity]
        ) == Counter(self.news)

    def outbox(self) -> list[Notification]:
        """All notifications that there ever were; none is sent here."""
        claimed = self.store.due(FAR, lease=timedelta(0))
        return sorted(
            (one for several in claimed.values() for one in several), key=lambda one: one.number
        )

    def teardown(self) -> None:
        """When all is good for long enough nothing is open, and all has been told once."""
        try:
            for _ in range(3):
                self.now += HOUR
                good = [
                    finding(rule=name, scope=scope, evaluations=3) for name, scope in FINGERPRINTS
                ]
                self.store.observe(good, self.now)
            assert self.store.open_incidents() == []
            by_incident: dict[tuple[str, int], list[Notification]] = {}
            for one in self.outbox():
                by_incident.setdefault((one.target, one.incident.number), []).append(one)
            for several in by_incident.values():
                kinds = [one.kind for one in several]
                assert kinds[0] in (Kind.OPENED, Kind.ESCALATED)
                assert Kind.OPENED not in kinds[1:]
                assert kinds.index(Kind.RESOLVED) == len(kinds) - 1
                levels = [
                    one.incident.severity
                    for one in several
                    if one.kind in (Kind.OPENED, Kind.ESCALATED)
                ]
                assert len(levels) == len(set(levels))
        finally:
            self.store.close()
            self.folder.cleanup()


AnyHistory.TestCase.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
TestAnyHistory = AnyHistory.TestCase
