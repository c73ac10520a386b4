"""Entry of the command `covidcxr`, also as `python -m covidcxr`."""

from covidcxr.environment import restart_pinned


def main() -> None:
    """Run the command in an environment that the user's settings do not change."""
    restart_pinned()
    # Libraries read the environment when they are imported.
    from covidcxr.cli import app

    app()


if __name__ == "__main__":
    main()
