"""The settings of `./dev up`: those of the API, and which parts of `tasks/` it must provide."""

from __future__ import annotations

from pydantic import Field

from celeryql.setting_values import Folder, Host, Listed, Port
from celeryql.settings import DATA_DIR, Settings


class LocalSettings(Settings):
    """The settings of the API, and those that `tasks/settings.py` reads under the same names."""

    smtp_host: Host = Field(
        default="127.0.0.1", description="Mail server; if not set, a mail catcher is started."
    )
    smtp_port: Port = Field(default=1025, description="Port of the mail server.")
    model_dir: Folder = Field(
        default=DATA_DIR / "models", description="Folder with the spam model, trained if missing."
    )
    model_sha256: Listed[str] = Field(
        default=(), description="Models to trust; if set, no other model is trained."
    )
