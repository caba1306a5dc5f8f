"""The Celery loader of an app that CeleryQL is installed into."""

from __future__ import annotations

import gc
import math

from celery.loaders.app import AppLoader

from celeryql.adopt.exposed_tasks import exposed_tasks
from celeryql.errors import exit_on_bad_configuration
from celeryql.lua_functions import load_at_start
from celeryql.settings import load_settings


class Loader(AppLoader):
    """Celery's loader, with a worker start that fails where the API's start would fail."""

    def init_worker(self) -> None:
        """Import and check the tasks, then prepare the process for forking.

        Raises:
            SystemExit: a task cannot be exposed, or Redis cannot be used; the reason is on
                standard error.
        """
        with exit_on_bad_configuration():
            exposed_tasks(self.app)
            load_at_start(load_settings().redis_url)
        # Only the worker knows how its task ended, so it retries that write until Redis is back.
        self.app.conf.result_backend_max_retries = math.inf
        super().init_worker()
        # A garbage collection writes to each object that it visits, which would copy memory pages
        # that the pool processes share.
        gc.collect()
        gc.freeze()
