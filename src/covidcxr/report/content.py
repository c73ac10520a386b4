"""Words of the report about what no step describes yet."""

from covidcxr.report.facts import Run
from covidcxr.report.formats import count

SEEN = {
    "film": "the whole film, framing, margins and letters included",
    "thorax": "the thorax, cut out alike, contrast stretched and letters painted over",
}
"""What the CycleGAN sees, by `cyclegan.region`."""


def figure_captions(run: Run) -> dict[str, str]:
    """Return the caption of each figure, by file stem."""
    config = run.config
    cyclegan = config["cyclegan"]
    source, target = cyclegan["source_class"], cyclegan["target_class"]
    return {
        "fig2_synthetic": (
            f"Training images of {source} (top), the {target} images that the CycleGAN made of "
            f"them (middle; {count(len(run.synthetic))} made in all), and real training images of "
            f"{target} (bottom). What the network changes is whatever tells its classes apart in "
            f"what it sees, {SEEN[cyclegan['region']]}."
        ),
        "cyclegan_samples": (
            f"Samples of the CycleGAN after {count(cyclegan['iterations'])} iterations at "
            f"{cyclegan['image_size']} × {cyclegan['image_size']} pixels. "
            f"Rows from the top: {source} images, translated to {target}, translated back; real "
            f"{target} images. It sees {SEEN[cyclegan['region']]}."
        ),
    }


FIGURE_ALTS = {
    "fig2_synthetic": "Rows of chest images: originals, their CycleGAN translations, and real "
    "images of the class translated to.",
    "cyclegan_samples": "Sample images of the CycleGAN in four rows.",
}
"""What each figure shows, for readers who cannot see it."""
