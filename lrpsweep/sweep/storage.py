"""A study in its database: the one truth about it, and the only file that knows Optuna's storage.

A trial is created in one transaction, running and with all its parameters, so that a driver that
is killed leaves nothing half asked: whatever it left running is set back to waiting, and the same
number is run again with the same parameters.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy as sa
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from lrpsweep.errors import InputError
from lrpsweep.results import (
    RANDOM_ORDER,
    Axis,
    Comparison,
    Contender,
    Directions,
    Economy,
    Finalist,
    Front,
    MeasureBound,
    Nomination,
    Pruned,
    Recommendation,
    Stability,
    StudyResults,
    TrialRecord,
    TrialResult,
)
from lrpsweep.results import TrialState as State
from lrpsweep.study import resolve_path
from lrpsweep.sweep.samplers.sampler import Asked

LEASE = "lease"
SCORED_STEPS = "states"
"""Under which the database keeps the steps that trials are scored on."""
CONNECT_SECONDS = 5
OPENING_ATTEMPTS = 5
STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


def study_url(storage: str | None, runs_dir: Path, name: str, base: Path) -> str:
    """Where a study lives: the database it names, or runs_dir/name/optuna.db.

    A database file is a path as any other in a study: see `resolve_path`.
    """
    file = database_file(storage, runs_dir, name, base)
    if file is None:
        assert storage is not None
        return storage
    return f"{'sqlite' if storage is None else storage.partition(':///')[0]}:///{file}"


def database_file(storage: str | None, runs_dir: Path, name: str, base: Path) -> Path | None:
    """The file of a study's database; None: it is on a server, or in memory."""
    if storage is None:
        return (runs_dir / name / "optuna.db").resolve()
    dialect, _, path = storage.partition(":///")
    is_file = dialect.startswith("sqlite") and path != ""
    return resolve_path(path, base).absolute() if is_file else None


class NoStudyError(InputError):
    """There is no such study yet."""


def create_store(url: str, name: str, directions: Directions) -> Store:
    """The study of that name, made if it does not exist yet. Raises InputError as `open_store`."""
    engine_url = _checked(url)
    if engine_url.drivername.startswith("sqlite") and engine_url.database:
        Path(engine_url.database).parent.mkdir(parents=True, exist_ok=True)
    storage = _connect(engine_url)
    study = optuna.create_study(
        storage=storage, study_name=name, directions=directions, load_if_exists=True
    )
    return Store(study, storage)


def open_store(url: str, name: str) -> Store:
    """The study of that name.

    Raises InputError when the database cannot be reached or read, or has no such study; passwords
    are masked.
    """
    engine_url = _checked(url)
    path = engine_url.database if engine_url.drivername.startswith("sqlite") else None
    if path is not None and not Path(path).is_file():
        raise NoStudyError(f"{path}: does not exist; study '{name}' has not been run here yet.")
    storage = _connect(engine_url)
    try:
        return Store(optuna.load_study(storage=storage, study_name=name), storage)
    except KeyError:
        known = ", ".join(sorted(optuna.get_all_study_names(storage))) or "none"
        raise NoStudyError(
            f"{_masked(engine_url)}: has no study '{name}'. Studies there: {known}."
        ) from None


def _checked(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise InputError(
            "run.storage: is not a database URL; expected 'sqlite:///FILE' or "
            "'postgresql://USER:PASSWORD@HOST/DATABASE'."
        ) from None
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise InputError(
            f"run.storage: '{_masked(parsed)}' is a {parsed.get_backend_name()} database; expected "
            "sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE."
        )
    # SQLAlchemy 2.0 and 2.1 differ in the driver that a plain 'postgresql' means.
    plain = parsed.drivername == "postgresql"
    return parsed.set(drivername="postgresql+psycopg2") if plain else parsed


def _masked(url: sa.URL) -> str:
    """The URL without its password, wherever that stands."""
    query = {k: "hidden" if "pass" in k.lower() else v for k, v in url.query.items()}
    return url.set(query=query).render_as_string(hide_password=True)


def _connect(url: sa.URL) -> optuna.storages.RDBStorage:
    """Connects, and makes the tables where they are missing."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sqlite = url.get_backend_name() == "sqlite"
    options = {"timeout": 30} if sqlite else {"connect_timeout": CONNECT_SECONDS}
    engine_kwargs = {"connect_args": options, "pool_pre_ping": not sqlite}
    try:
        engine = sa.create_engine(url, **engine_kwargs)
        with engine.connect() as connection:
            connection.execute(sa.text("SELECT 1"))
            sa.inspect(connection).get_table_names()
        engine.dispose()
        return _make_tables(url, engine_kwargs)
    except ImportError as error:
        raise InputError(
            f"run.storage: '{_masked(url)}' needs the package {error.name}; "
            "install lrpsweep[postgresql]."
        ) from error
    except sa.exc.SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or type(error).__name__).strip()
        if url.password:
            cause = cause.replace(str(url.password), "***")
        raise InputError(
            f"run.storage: '{_masked(url)}' cannot be used: {' '.join(cause.split())}. "
            "Expected a database that this machine can reach and write."
        ) from None
    except RuntimeError as error:
        raise InputError(f"run.storage: '{_masked(url)}': {error}") from error


def _make_tables(url: sa.URL, engine_kwargs: Mapping[str, Any]) -> optuna.storages.RDBStorage:
    """Two drivers that start together may both try; the second finds the tables there."""
    text = url.render_as_string(hide_password=False)
    for _ in range(OPENING_ATTEMPTS):
        try:
            return _write_ahead(optuna.storages.RDBStorage(text, engine_kwargs=dict(engine_kwargs)))
        except (sa.exc.OperationalError, sa.exc.ProgrammingError, sa.exc.IntegrityError):
            time.sleep(0.2)
    return _write_ahead(optuna.storages.RDBStorage(text, engine_kwargs=dict(engine_kwargs)))


def _write_ahead(storage: optuna.storages.RDBStorage) -> optuna.storages.RDBStorage:
    """SQLite with a write-ahead log: no flush to disk for each of a trial's writes.

    Killing the driver loses nothing; a power cut may lose the last trials, but corrupts nothing.
    """
    if storage.engine.dialect.name == "sqlite":
        storage.engine.dispose()

        @sa.event.listens_for(storage.engine, "connect")
        def set_up(connection: Any, record: object) -> None:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")

    return storage


class Store:
    """One study in its database; every write first asks `guard` whether it is still allowed."""

    def __init__(self, study: optuna.Study, storage: optuna.storages.RDBStorage) -> None:
        self._study = study
        self._rdb = storage
        self.guard: Callable[[], None] = lambda: None

    @property
    def name(self) -> str:
        """The study's name."""
        return self._study.study_name

    @property
    def directions(self) -> Directions:
        """By objective, whether low or high values are good: as Optuna has it until it is known as
        a fact.

        Optuna keeps the directions that the study was made with, though the objectives may change
        before the first trial.
        """
        stored = self.get("direction")
        return listed(stored or [way.name.lower() for way in self._study.directions])

    @property
    def objectives(self) -> tuple[str, ...]:
        """The measures that decide."""
        return listed(self.get("objective"))

    def close(self) -> None:
        """Gives the connections back."""
        self._rdb.remove_session()
        self._rdb.engine.dispose()

    # What is known of the study as a whole.

    @property
    def facts(self) -> dict[str, Any]:
        """All that is known of the study as a whole."""
        return dict(self._study.user_attrs)

    def get(self, key: str) -> Any:
        """A fact about the study, or None."""
        return self._study.user_attrs.get(key)

    def set(self, key: str, value: Any) -> None:
        """Stores a fact about the study: JSON values."""
        self.guard()
        self._study.set_user_attr(key, value)

    # Trials.

    def history(self) -> list[Asked]:
        """All trials by number, as samplers see them."""
        return [_asked(trial) for trial in self._trials()]

    def waiting(self) -> list[int]:
        """The numbers of the trials that are still to be run."""
        return [trial.number for trial in self._trials() if trial.state is TrialState.WAITING]

    def result(self, number: int) -> TrialResult:
        """The result of a complete trial."""
        stored = self._trials()[number].user_attrs["result"]
        return TrialResult.from_json(stored, self.objectives[0])

    def failures(self) -> list[str]:
        """Why trials failed."""
        failed = [t for t in self._trials() if t.state is TrialState.FAIL]
        return [str(trial.user_attrs.get("reason")) for trial in failed]

    def start(
        self,
        params: Mapping[str, Any],
        distributions: Mapping[str, BaseDistribution],
        values: Mapping[str, Any],
        literature: str | None = None,
    ) -> None:
        """Creates a running trial in one transaction; its number is the next one."""
        self.guard()
        attrs = {"values": dict(values)} | ({"literature": literature} if literature else {})
        trial = optuna.trial.create_trial(
            state=TrialState.RUNNING,
            params=dict(params),
            distributions=dict(distributions),
            user_attrs=attrs,
        )
        self._study.add_trial(trial)

    def restart(self, number: int) -> None:
        """Runs a waiting trial, with the parameters it has."""
        self.guard()
        self._set_state(number, TrialState.RUNNING)

    def complete(
        self,
        number: int,
        result: TrialResult,
        seconds: float,
        excess: Mapping[str, float] | None = None,
        same_as: int | None = None,
    ) -> None:
        """Stores the result, then the state. Raises ValueError for a value that is not finite.

        excess: by how much each constraint's bound is exceeded. same_as: the trial whose result it
        is.
        """
        values = result.means(len(self.directions))
        if not all(map(math.isfinite, values)):
            raise ValueError(f"{values} is no result")
        self.guard()
        self._set_attr(number, "result", result.to_json() | {"wall_seconds": seconds})
        if same_as is not None:
            self._set_attr(number, "same_as", same_as)
        self._set_excess(number, excess or {})
        self._set_state(number, TrialState.COMPLETE, values)

    def pruned(self, number: int) -> Pruned:
        """How a pruned trial ended."""
        return Pruned(**self._trials()[number].user_attrs["pruned"])

    def prune(
        self,
        number: int,
        pruned: Pruned,
        seconds: float,
        partial: TrialResult | None = None,
        excess: Mapping[str, float] | None = None,
        same_as: int | None = None,
    ) -> None:
        """Stores how far a trial came, then its state. partial: the scores that it has.

        excess, same_as: as in `complete`.
        """
        self.guard()
        self._set_attr(number, "pruned", asdict(pruned))
        self._set_attr(number, "wall_seconds", seconds)
        if partial is not None:
            self._set_attr(number, "partial", partial.to_json())
        if same_as is not None:
            self._set_attr(number, "same_as", same_as)
        self._set_excess(number, excess or {})
        self._set_state(number, TrialState.PRUNED, [pruned.estimate])

    def fail(self, number: int, reason: str) -> None:
        """Stores that a trial failed, and why."""
        self.guard()
        self._set_attr(number, "reason", reason)
        self._set_state(number, TrialState.FAIL)

    def retry_failed(self) -> None:
        """Puts every failed trial's point in wait again, as a new trial that names the old one."""
        trials = self._trials()
        retried = {trial.user_attrs.get("retry_of") for trial in trials}
        for trial in trials:
            if trial.state is TrialState.FAIL and trial.number not in retried:
                kept = {k: v for k, v in trial.user_attrs.items() if k != "reason"}
                self.guard()
                self._study.add_trial(
                    optuna.trial.create_trial(
                        state=TrialState.WAITING,
                        params=trial.params,
                        distributions=trial.distributions,
                        user_attrs=kept | {"retry_of": trial.number},
                    )
                )

    def retries(self) -> int:
        """How many trials run a failed one anew: they come on top of the planned ones."""
        return sum("retry_of" in trial.user_attrs for trial in self._trials())

    def release(self) -> None:
        """Sets every running trial back to waiting: whoever ran it does not any more."""
        for trial in self._trials():
            if trial.state is TrialState.RUNNING:
                self.guard()
                self._set_state(trial.number, TrialState.WAITING)

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _id(self, number: int) -> int:
        return self._rdb.get_trial_id_from_study_id_trial_number(self._study._study_id, number)

    def _set_attr(self, number: int, key: str, value: Any) -> None:
        self._rdb.set_trial_user_attr(self._id(number), key, value)

    def _set_excess(self, number: int, excess: Mapping[str, float]) -> None:
        if excess:
            trial = optuna.trial.Trial(self._study, self._id(number))
            for name in excess.keys() - trial.constraints.keys():
                trial.set_constraint(name, excess[name])

    def _set_state(
        self, number: int, state: TrialState, values: Sequence[float] | None = None
    ) -> None:
        """Sets the state; Optuna refuses it for a trial that has ended already."""
        self._study._storage.set_trial_state_values(self._id(number), state, values)

    # The lease: one row, changed by compare-and-swap in one SQL statement.

    def lease(self) -> str | None:
        """The lease as it stands, or None when nobody ever held one."""
        table = optuna.storages._rdb.models.StudyUserAttributeModel.__table__
        query = sa.select(table.c.value_json).where(*self._lease_row(table))
        with self._rdb.engine.connect() as connection:
            found: str | None = connection.execute(query).scalar_one_or_none()
            return found

    def swap_lease(self, old: str | None, new: str) -> bool:
        """Replaces the lease if it still is `old`; True when it was and `new` stands now.

        Of any number of drivers that try at once, exactly one succeeds: a unique constraint
        decides over the first lease, the row's own value over the later ones.
        """
        table = optuna.storages._rdb.models.StudyUserAttributeModel.__table__
        change: Any = (
            sa.insert(table).values(study_id=self._study._study_id, key=LEASE, value_json=new)
            if old is None
            else sa.update(table)
            .where(*self._lease_row(table), table.c.value_json == old)
            .values(value_json=new)
        )
        try:
            with self._rdb.engine.begin() as connection:
                return bool(connection.execute(change).rowcount == 1)
        except sa.exc.IntegrityError:
            return False

    def _lease_row(self, table: Any) -> Sequence[Any]:
        return (table.c.study_id == self._study._study_id, table.c.key == LEASE)


def read_results(store: Store) -> StudyResults:
    """All that the database says about a study; nothing else is read."""
    facts = store._study.user_attrs
    nomination, recommendation = facts.get("nomination"), facts.get("recommendation")
    objectives, front = listed(facts["objective"]), facts.get("front")
    searched_too = _scored(facts, "literature")
    trials = tuple(_record(trial, objectives[0]) for trial in store._trials())
    searched = max((len(t.result.scores) for t in trials if t.result is not None), default=0)
    return StudyResults(
        name=store.name,
        objectives=objectives,
        directions=store.directions,
        trials=trials,
        planned=facts["planned"],
        axes=tuple(_axis(axis) for axis in facts["axes"]),
        spec_text=facts["spec_text"],
        spec_hash=facts["spec_hash"],
        provenance=facts["provenance"],
        nomination=nomination and nomination_from_json(nomination),
        recommendation=recommendation and recommendation_from_json(recommendation),
        front=front and front_from_json(front),
        literature={name: one for name, one in searched_too.items() if name != RANDOM_ORDER},
        random=searched_too.get(RANDOM_ORDER),
        images=tuple(
            f"{image['content']} {image['target']}"
            for image in facts["identity"].get("images", ())[:searched]
        ),
        begun_on=begun_on(facts),
        concluding=_concluding(facts),
        full=_scored(facts, "full"),
        economy=_economy(store, searched),
        measured=json.dumps([facts["identity"].get(part) for part in ("model", "evaluation")]),
    )


def _scored(facts: Mapping[str, Any], name: str) -> dict[str, TrialResult]:
    """The results, by label, whose keys stand under that name."""
    keys = facts.get(name) or {}
    return {n: TrialResult.from_json(facts[key]) for n, key in keys.items() if key in facts}


def _economy(store: Store, images: int) -> Economy | None:
    """What the search took, from the counts that came with the scores. images: search images."""
    trials = [trial.user_attrs for trial in store._trials() if "same_as" not in trial.user_attrs]
    found = [attrs[name] for attrs in trials for name in ("result", "partial") if name in attrs]
    facts = store.facts.items()
    others = [one for key, one in facts if one and key.startswith("scores search ")]
    counts = [one.get("counts") for one in (*found, *others)]
    if not found or not all(counts):
        return None
    first = {one["label"] for one in others if not one["label"].startswith(("pilot ", "trial "))}
    each = max(len(one["flipped"]) * (1 + len(one["curves"])) for one in found)
    chosen = store.get(SCORED_STEPS) or {}
    errors = chosen.get("errors", {}).get(chosen.get("subset"), {})
    return Economy(
        forwards=_total(counts, "forwards") + sum(map(_images, (*found, *others))),
        known=_total(counts, "known") / max(1, _total(counts, "states")),
        plain=(len(found) + len(first)) * images * (each + 1),
        subset=chosen.get("subset", "all"),
        steps=tuple(chosen.get("steps", ())),
        error=max(errors.values(), default=None),
    )


def _total(counts: Sequence[Mapping[str, int]], what: str) -> int:
    return sum(count[what] for count in counts)


def _images(stored: Mapping[str, Any]) -> int:
    return len(next(iter(stored["measures"].values())))


def listed(stored: Any) -> tuple[Any, ...]:
    """A fact about each objective, which stands alone where there is one."""
    return (stored,) if isinstance(stored, str) else tuple(stored)


def _concluding(facts: Mapping[str, Any]) -> str:
    """How far a step is that has begun and not ended, for people."""
    step = facts.get("concluding")
    if not step:
        return ""
    done = sum(key in facts for key in step["keys"])
    return f"{step['stage']}: {done} of {len(step['keys'])} scored"


def begun_on(facts: Mapping[str, Any]) -> dict[str, tuple[tuple[str, str], ...]]:
    """By part, the (id, hash) of the images that stay what they are; of version 1, none.

    facts: of the study.
    """
    identity = facts.get("identity", {})
    if "split" not in identity:
        return {}
    marks = iter([(image["id"], image["content"]) for image in identity["images"]])
    parts = {part: tuple(islice(marks, count)) for part, count in identity["split"].items()}
    return parts | {"validation": tuple(map(tuple, facts.get("validated images", ())))}


def _asked(trial: FrozenTrial) -> Asked:
    match trial.state:
        case TrialState.COMPLETE:
            return Asked(trial.params, "complete", tuple(trial.values), trial.constraints)
        case TrialState.PRUNED:
            estimate = trial.user_attrs["pruned"]["estimate"]
            return Asked(trial.params, "pruned", (estimate,), trial.constraints)
        case TrialState.FAIL:
            return Asked(trial.params, "failed")
    return Asked(trial.params)


def exceeded(excess: Mapping[str, float]) -> tuple[str, ...]:
    """The constraints whose bounds are exceeded."""
    return tuple(sorted(name for name, by in excess.items() if by > 0))


def _axis(stored: Mapping[str, Any]) -> Axis:
    return Axis(**{**stored, "categories": tuple(stored["categories"])})


def _record(trial: FrozenTrial, objective: str) -> TrialRecord:
    attrs = trial.user_attrs
    complete = trial.state is TrialState.COMPLETE
    return TrialRecord(
        number=trial.number,
        state=STATES[trial.state],
        values=attrs["values"],
        result=TrialResult.from_json(attrs["result"], objective) if complete else None,
        literature=attrs.get("literature"),
        reason=attrs.get("reason"),
        seconds=attrs["result"]["wall_seconds"] if complete else attrs.get("wall_seconds"),
        same_as=attrs.get("same_as"),
        exceeded=exceeded(trial.constraints),
        pruned=Pruned(**attrs["pruned"]) if trial.state is TrialState.PRUNED else None,
    )


def nomination_from_json(stored: Mapping[str, Any]) -> Nomination:
    """The inverse of `asdict`."""
    nominee, stability = stored["nominee"], stored["stability"]
    return Nomination(
        **{
            **stored,
            "nominee": nominee and Contender(**nominee),
            "finalists": tuple(map(_finalist, stored["finalists"])),
            "broken": {label: tuple(why) for label, why in stored["broken"].items()},
            "stability": stability and Stability(**stability),
        }
    )


def front_from_json(stored: Mapping[str, Any]) -> Front:
    """The inverse of `asdict`."""
    return Front(
        **{
            **stored,
            "members": tuple(Contender(**one) for one in stored["members"]),
            "broken": {label: tuple(why) for label, why in stored["broken"].items()},
        }
    )


def recommendation_from_json(stored: Mapping[str, Any]) -> Recommendation:
    """The inverse of `asdict`; earlier versions stored less."""
    scores = stored.get("scores", {})
    return Recommendation(
        **{
            **stored,
            "comparisons": tuple(map(_comparison, stored["comparisons"])),
            "finalists": tuple(map(_finalist, stored["finalists"])),
            "warnings": tuple(stored["warnings"]),
            "bounds": tuple(MeasureBound(**bound) for bound in stored.get("bounds", ())),
            "ahead": tuple(stored.get("ahead", ())),
            "images": tuple(stored.get("images", ())),
            "scores": {one: {m: tuple(s) for m, s in by.items()} for one, by in scores.items()},
        }
    )


def _finalist(stored: Mapping[str, Any]) -> Finalist:
    return Finalist(**{**stored, "broken": tuple(stored.get("broken", ()))})


def _comparison(stored: Mapping[str, Any]) -> Comparison:
    """Versions before 0.2 stored what Holm's correction gave under its name."""
    renamed = {"p_adjusted" if key == "p_holm" else key: value for key, value in stored.items()}
    return Comparison(**renamed)


def now() -> str:
    """The time, as it is stored."""
    return datetime.now().astimezone().isoformat(timespec="seconds")
