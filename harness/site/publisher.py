"""Makes `asv publish` write the site: an asv plugin, loaded by asv.conf.json. It runs when asv's pages are there."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from asv import util
from asv.console import log
from asv.publishing import OutputPublisher

from harness.errors import BenchError, cannot_write
from harness.results import store
from harness.site import asv_pages, data
from harness.suite import inside


class Overview(OutputPublisher):
    """The site's own pages, with the first one in the place of asv's."""

    name: ClassVar[str] = "overview"
    button_label: ClassVar[str] = "Overview"
    description: ClassVar[str] = "Which backend, and what changed"

    @classmethod
    def publish(cls, conf: Any, repo: Any, benchmarks: Any, graphs: Any, revisions: Any) -> None:
        """Write everything below asv's `html_dir`.

        Raises:
            util.UserError: something that the site stands on is broken; the sentence says what.
        """
        # Charts take most of a second to import, and every command of asv imports this module.
        from harness.judging import calibration
        from harness.site import render, workers

        began = time.perf_counter()
        folder, html = Path(conf.results_dir).parent, Path(conf.html_dir)
        try:
            results = store.Results(folder, inside())
            contents = store.load(results)
            asv_pages.move(html)
            asv_pages.fill_gaps(html, benchmarks)
            render.copy_static(html)
            data.copy_sweeps(contents, results.sweeps, html)
            machines = render.machines_as_dictionary(contents)
            sites = []
            for machine in contents:
                data.copy_records(machine, results.records, html)
                calibrated = calibration.of_machine(folder / "calibration", machine.machine)
                sites.append(render.Site(machine, html, machines[machine.machine], machines, calibrated))
                for sentence in machine.left_out:
                    log.warning(sentence)
            log.info(f"Writing the pages of {', '.join(machines)}")
            workers.write(sites)
        except BenchError as error:
            raise util.UserError(str(error)) from error
        except OSError as error:
            raise util.UserError(str(cannot_write(html, error))) from error
        _date_by_results(contents)
        log.info(f"The overview took {time.perf_counter() - began:.1f} s")


def _date_by_results(contents: list[store.MachineResults]) -> None:
    """Let asv date the site by its newest trial and not by the clock: the same results are the same bytes."""
    started = [when for c in contents for r in c.records if (when := _time(r.started))]
    stamp = util.datetime_to_js_timestamp(max(started)) if started else 0
    write = util.write_json

    def dated(path: Any, data: Any, *arguments: Any, **keywords: Any) -> None:
        if Path(path).name == "info.json":
            data = {**data, "timestamp": stamp}
        write(path, data, *arguments, **keywords)

    util.write_json = dated


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
