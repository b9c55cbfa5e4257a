"""Checks that no patient is both trained on and held out, by given names and by DICOM series.

Patients are not called by name, since the list of findings may be passed on.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from mixcl_auto.records.case import RawDataset
from mixcl_auto.records.finding import Finding
from mixcl_auto.records.inspection import CaseInspection
from mixcl_auto.validation.dataset_roles import Roles, meet, roles_of

_Namesake = Callable[[CaseInspection, CaseInspection], bool]


def patients_are_in_one_role(
    datasets: Sequence[RawDataset], found: Sequence[CaseInspection]
) -> Iterator[Finding]:
    """A patient named in a target dataset is not also in the pool; ids taken from the case are passed.

    Without ``patient`` a case's own id stands in for it, and two datasets may both have a ``case_1``. Several
    cases of one patient within a dataset are fine: the folds keep them together.
    """
    roles, same_patient, first = roles_of(datasets), _namesakes(found), _by_dataset(found, _patient)
    for case in found:
        others = _meeting(case, first[case.patient], roles)
        other = next((one for one in others if same_patient(case, one)), None)
        if other is not None:
            yield _shared_patient(case, other)


def series_of_a_patient_are_grouped(
    datasets: Sequence[RawDataset], found: Sequence[CaseInspection]
) -> Iterator[Finding]:
    """DICOM series of one patient within a dataset have one ``patient``."""
    first: dict[tuple[str, str], CaseInspection] = {}
    for case in _with_telling_id(datasets, found):
        other = first.setdefault((case.dataset, case.dicom_patient), case)
        if other.patient != case.patient:
            message = (
                f"its series is of the same patient as that of {other.case}: give both the same "
                "`patient` in dataset.json, or one may be trained on while the other is held out"
            )
            yield Finding(severity="warning", dataset=case.dataset, case=case.case, message=message)


def series_of_a_patient_are_in_one_role(
    datasets: Sequence[RawDataset], found: Sequence[CaseInspection]
) -> Iterator[Finding]:
    """No DICOM series of the pool has the PatientID of a target's, unless ``patient`` says as much.

    A warning only: anonymisers number the patients of every dataset from 1.
    """
    series = _with_telling_id(datasets, found)
    roles, same_patient, first = roles_of(datasets), _namesakes(found), _by_dataset(series, _dicom_patient)
    for case in series:
        others = _meeting(case, first[case.dicom_patient], roles)
        other = next((one for one in others if not same_patient(case, one)), None)
        if other is not None:
            yield _shared_dicom_patient(case, other)


def _patient(case: CaseInspection) -> str:
    return case.patient


def _dicom_patient(case: CaseInspection) -> str:
    return case.dicom_patient


def _namesakes(found: Sequence[CaseInspection]) -> _Namesake:
    """Whether two cases of two datasets are of one patient by name.

    A name that is but a case's id may have been given by nobody. It was given in a dataset where some case of
    another id has it too, and one such dataset is enough.
    """
    given = {(case.dataset, case.patient) for case in found if case.patient != case.case}

    def same_patient(one: CaseInspection, other: CaseInspection) -> bool:
        places = {(one.dataset, one.patient), (other.dataset, other.patient)}
        return one.patient == other.patient and not places.isdisjoint(given)

    return same_patient


def _with_telling_id(datasets: Sequence[RawDataset], found: Sequence[CaseInspection]) -> list[CaseInspection]:
    """Cases with a PatientID; one that all series of a dataset share is an anonymiser's: it tells nothing."""
    telling = []
    for dataset in datasets:
        series = [case for case in found if case.dataset == dataset.name and case.dicom_patient]
        if len(series) <= 2 or len({case.dicom_patient for case in series}) > 1:
            telling += series
    return telling


def _by_dataset(
    cases: Sequence[CaseInspection], key: Callable[[CaseInspection], str]
) -> Mapping[str, Mapping[str, CaseInspection]]:
    """Key to the first case of it in each dataset."""
    first: dict[str, dict[str, CaseInspection]] = defaultdict(dict)
    for case in cases:
        first[key(case)].setdefault(case.dataset, case)
    return first


def _meeting(
    case: CaseInspection, alike: Mapping[str, CaseInspection], roles: Roles
) -> Iterator[CaseInspection]:
    """Of cases by dataset, those that meet this one in pool and target; of a target's case none.

    So the pool's case is named as the one too many.
    """
    if roles[case.dataset] == "target":
        return
    for dataset, other in alike.items():
        if dataset != case.dataset and meet(roles[case.dataset], roles[dataset]):
            yield other


def _shared_patient(case: CaseInspection, other: CaseInspection) -> Finding:
    message = (
        f"the same patient as {other.dataset}, {other.case}: one dataset pre-trains, the other is a target, "
        "and the held-out folds would leak; take the patient out of one of them"
    )
    return Finding(severity="error", dataset=case.dataset, case=case.case, message=message)


def _shared_dicom_patient(case: CaseInspection, other: CaseInspection) -> Finding:
    message = (
        f"its series has the PatientID of that of {other.dataset}, {other.case}: one dataset pre-trains, the "
        "other is a target, and if it is the same patient, the held-out folds would leak: then take the "
        "patient out of one of them; nothing to do if the ids only happen to be equal"
    )
    return Finding(severity="warning", dataset=case.dataset, case=case.case, message=message)
