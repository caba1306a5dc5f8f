"""The deployment as it is written down: what every service must have, whatever else changes.

That it builds, starts and works was seen on a real engine: `docs/deployment.md`.
"""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from celeryql.settings import Settings
from tasks.celery_app import QUEUES
from tasks.settings import TaskSettings

ROOT = Path(__file__).parents[1]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DEBUG = yaml.safe_load((ROOT / "docker-compose.debug.yml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SERVICES = COMPOSE["services"]
WORKERS = [name for name in SERVICES if name.endswith("worker")]
SOFT_SHUTDOWN_S = Settings.model_fields["soft_shutdown_timeout"].default
# The health check's, Flower's and uvicorn's own.
NOT_SETTINGS = {"REMAP_SIGTERM", "QUEUE", "BROKER_URL"}


def words(service: str) -> list[str]:
    return shlex.split(SERVICES[service]["command"])


def option(service: str, name: str) -> str:
    command = words(service)
    return command[command.index(name) + 1]


def stage(name: str) -> list[str]:
    """Return the lines of one stage of the Dockerfile, without its FROM."""
    _, _, rest = DOCKERFILE.partition(f" AS {name}\n")
    return rest.partition("\nFROM ")[0].splitlines()


def locked(name: str) -> set[str]:
    lines = (ROOT / name).read_text().splitlines()
    return {line.removesuffix(" \\") for line in lines if re.match(r"[a-z0-9-]+==", line)}


def test_the_services_are_those_of_the_design():
    expected = {"redis", "api", "worker", "ml-worker", "email-worker", "mail", "flower"}

    assert set(SERVICES) == expected
    assert [name for name in SERVICES if "profiles" in SERVICES[name]] == ["flower"]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_cannot_write_to_its_file_system(service: str):
    assert SERVICES[service]["read_only"] is True
    assert SERVICES[service]["tmpfs"] == ["/tmp"]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_no_privilege_and_can_gain_none(service: str):
    assert SERVICES[service]["cap_drop"] == ["ALL"]
    assert SERVICES[service]["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "devices", "pid", "network_mode"} & set(SERVICES[service])


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_started_again_when_it_dies_and_says_how_it_is(service: str):
    healthcheck = SERVICES[service]["healthcheck"]

    assert SERVICES[service]["restart"] == "unless-stopped"
    assert healthcheck["test"]
    assert {"interval", "timeout", "start_period", "retries"} <= set(healthcheck)


def test_redis_does_not_run_as_root():
    assert SERVICES["redis"]["user"] == "valkey"


@pytest.mark.parametrize("target", ["app", "flower"])
def test_an_image_does_not_run_as_root(target: str):
    users = [line.split()[1] for line in stage(target) if line.startswith("USER ")]

    assert users[-1] == "celeryql"


def test_every_service_but_redis_runs_an_image_that_is_built_here():
    built = {s["image"]: s["build"]["target"] for s in SERVICES.values() if "build" in s}

    assert built == {"${IMAGE:-celeryql:local}": "app", "celeryql-flower:local": "flower"}
    assert {s["image"] for name, s in SERVICES.items() if name != "redis"} == set(built)


def test_redis_is_published_nowhere_and_on_a_network_without_a_way_out():
    assert "ports" not in SERVICES["redis"]
    assert SERVICES["redis"]["networks"] == ["store"]
    assert COMPOSE["networks"]["store"]["internal"] is True


def test_what_is_published_is_published_on_loopback_only():
    published = {name: s["ports"] for name, s in SERVICES.items() if "ports" in s}
    debug = DEBUG["services"]["redis"]["ports"]

    assert set(published) == {"api", "flower"}
    assert all(port.startswith("127.0.0.1:") for port in sum(published.values(), debug))


def test_redis_keeps_what_it_accepted_on_a_volume():
    assert option("redis", "--appendonly") == "yes"
    assert option("redis", "--maxmemory-policy") == "noeviction"
    assert SERVICES["redis"]["volumes"] == ["redis:/data"]
    assert "redis" in COMPOSE["volumes"]


def test_every_queue_has_one_worker_service_with_the_pool_of_the_design():
    consumed = [option(worker, "-Q") for worker in WORKERS]

    assert sorted(consumed) == sorted(QUEUES)
    assert "--pool=solo" in words("ml-worker")
    assert option("email-worker", "--concurrency") == "1"


@pytest.mark.parametrize("worker", WORKERS)
def test_a_worker_is_named_by_queue_and_container_and_asked_by_that_name(worker: str):
    queue = option(worker, "-Q")

    assert option(worker, "--hostname") == f"{queue}@%h"
    assert SERVICES[worker]["environment"]["QUEUE"] == queue
    check = SERVICES[worker]["healthcheck"]["test"]
    assert check == 'python -m celeryql.worker.health "$$QUEUE@$$HOSTNAME"'


@pytest.mark.parametrize("worker", WORKERS)
def test_a_worker_is_given_longer_to_stop_than_its_soft_shutdown_takes(worker: str):
    is_solo = "--pool=solo" in SERVICES[worker]["command"]  # it cannot go on with its task then
    assert SERVICES[worker]["environment"].get("REMAP_SIGTERM") == (None if is_solo else "SIGQUIT")
    grace_s = int(SERVICES[worker]["stop_grace_period"].removesuffix("s"))

    assert grace_s >= SOFT_SHUTDOWN_S + 5
    assert SERVICES[worker]["init"] is True


@pytest.mark.parametrize("service", ["api", *WORKERS])
def test_what_uses_redis_waits_for_it(service: str):
    assert SERVICES[service]["depends_on"]["redis"] == {"condition": "service_healthy"}


def test_any_service_can_have_replicas():
    assert not [name for name, s in SERVICES.items() if "container_name" in s or "hostname" in s]


def test_every_variable_that_is_handed_on_is_a_setting():
    names = {name for s in SERVICES.values() for name in s.get("environment", {})} - NOT_SETTINGS

    settings = Settings.model_fields | TaskSettings.model_fields
    assert {name.lower() for name in names} <= set(settings)


def test_only_the_email_worker_knows_the_mail_servers_password():
    knowing = [name for name, s in SERVICES.items() if "SMTP_PASSWORD" in s.get("environment", {})]

    assert knowing == ["email-worker"]


def test_only_the_api_knows_the_secret_of_tokens():
    knowing = [
        name for name, s in SERVICES.items() if "AUTH_JWT_SECRET" in s.get("environment", {})
    ]

    assert knowing == ["api"]


def test_no_secret_has_a_default():
    text = (ROOT / "docker-compose.yml").read_text()
    defaults = re.findall(r"\$\{\w*PASSWORD:?-([^}]*)\}", text)

    assert defaults
    assert not any(defaults)


def test_the_build_takes_hash_checked_wheels_only():
    installs = re.findall(r"install \\\n(.*)$", DOCKERFILE, flags=re.MULTILINE)

    assert len(installs) == 2
    assert all("--only-binary=:all: --require-hashes" in line for line in installs)
    assert not DOCKERFILE.startswith("# syntax")


@pytest.mark.parametrize(
    ("extra", "package"),
    [("flower", "flower"), ("otel", "opentelemetry-exporter-otlp-proto-http")],
)
def test_the_lock_of_an_extra_is_the_main_lock_and_more(extra, package):
    more = {line.split("==")[0] for line in locked(f"requirements-{extra}.lock")}
    less = {line.split("==")[0] for line in locked("requirements.lock")}

    assert locked("requirements.lock") <= locked(f"requirements-{extra}.lock")
    assert package in more - less


def test_the_build_context_is_a_list_of_what_is_let_in():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    copied = re.findall(r"^COPY (?!--from)([\w.-]+/?)", DOCKERFILE, flags=re.MULTILINE)

    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == set(copied)
