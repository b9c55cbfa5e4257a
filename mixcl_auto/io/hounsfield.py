"""Whether intensities can be Hounsfield units."""

from mixcl_auto.records.fingerprint import Intensities

_NORMALISED_RANGE = 30.0
"""Below this a range is that of shares, or of standard deviations, and not of HU."""


def implausible_hu(values: Intensities) -> str | None:
    """Why a scan is not in HU, and what to do; None where it may be.

    CT reaches from air (about -1000 HU) to soft tissue (about 40 HU) and beyond.
    """
    extent = f"values reach from {values.minimum:g} to {values.maximum:g}"
    if values.maximum - values.minimum <= _NORMALISED_RANGE:
        return f"{extent}: normalised, not HU; give the scan as the scanner wrote it"
    if values.minimum >= 0 and values.maximum <= 255:
        return f"{extent}: the grey values of a picture, not HU; give the scan as the scanner wrote it"
    if values.minimum >= 0:
        return (
            f"{extent}: no HU below 0; perhaps 1024 was added: subtract it (the rescale intercept), or name "
            "the true modality under channel_names in dataset.json"
        )
    if values.minimum > -200:
        return (
            f"{extent}: no air (about -1000 HU); perhaps the scan was clipped to a window, or an offset was "
            "added: give it as the scanner wrote it"
        )
    if values.percentile_99_5 < -200:
        return (
            f"{extent}, but 99.5 % are below -200 HU: hardly any tissue; perhaps 1024 was subtracted twice: "
            "add it once"
        )
    if values.percentile_99_5 > 4000:
        return (
            f"{extent}, with 0.5 % above {values.percentile_99_5:g}: too high for HU; check the rescale slope"
        )
    return None
