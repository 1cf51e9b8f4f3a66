"""What the requests drawn from the description are aimed at.

Of a text drawn for the name of an app nothing is ever found. So most requests are turned to what there
is: an app and its machines, on an engine that starts nothing, and a few names that are used again and
again. The rest stay as drawn. All chance is that of the seed, but the answers are the daemon's: a run
that is repeated asks nearly the same.
"""

import atexit
import collections
import json
import os
import random

import requests
import schemathesis

API = os.environ["MACHINES_API"]
TALLY = os.environ["SCHEMA_TALLY"]
CHANCE = random.Random(int(os.environ["DORMOUSE_SEED"]))

# Of the texts drawn for something that exists, so many in a hundred are replaced by what exists.
AIMED_PERCENT = 90
MACHINES_MIN, MACHINES_MAX = 6, 40
APP, SPARE_APP = "aim", "spare"
NAMES = ["one", "two", "three"]
HOSTNAMES = ["one.example.com", "two.example.com"]
IMAGE_DIGEST = "sha256:" + 64 * "0"
# A machine that the engine which starts nothing runs.
MACHINE = {"image": "none", "engine": "fake"}
# Calls wait as long as their caller likes: these do not like to.
WAITS = {"timeout": "1s"}
# An answer without an end is not for a client that reads to the end.
ENDLESS = {"follow": "false"}
STREAM = "text/event-stream"

session = requests.Session()
session.headers["Authorization"] = f"Bearer {os.environ['MACHINES_TOKEN']}"
statuses = collections.Counter()
machines = []


@schemathesis.hook
def before_call(context, case, kwargs):
    if not machines or statuses.total() % 50 == 0:
        look_around()
    aim_path(case)
    taken = {parameter.name for parameter in case.operation.query}
    for name, value in {**WAITS, **ENDLESS}.items():
        if name in taken:
            case.query[name] = value
    if STREAM in str(case.headers.get("Accept", "")):
        case.headers["Accept"] = "application/json"
    # A lease that is held by nobody who is known would shut a machine for minutes.
    if case.path.endswith("/lease") and case.method == "POST":
        case.query["ttl"] = "1"
        if isinstance(case.body, dict):
            case.body = {**case.body, "ttl": 1}
    aim_body(case)


@schemathesis.hook
def after_call(context, case, response):
    statuses[response.status_code] += 1


@atexit.register
def tell():
    with open(TALLY, "w") as file:
        json.dump(statuses, file)


def is_aimed():
    return CHANCE.randrange(100) < AIMED_PERCENT


def aim_path(case):
    for name in case.path_parameters:
        # What ends the world that requests are aimed at is aimed elsewhere.
        if name == "app_name" and case.method == "DELETE" and case.path == "/v1/apps/{app_name}":
            case.path_parameters[name] = SPARE_APP
        elif name == "token":
            case.path_parameters[name] = CHANCE.choice(NAMES)
        elif is_aimed():
            case.path_parameters[name] = aim(name)


def aim(parameter):
    match parameter:
        case "app_name":
            return APP
        case "machine_id":
            return CHANCE.choice(machines)
        case "org_slug":
            return "personal"
        case "hostname":
            return CHANCE.choice(HOSTNAMES)
        case "digest":
            return IMAGE_DIGEST
        case "ip":
            return "127.0.0.1"
        case _:
            return CHANCE.choice(NAMES)


def aim_body(case):
    if not isinstance(case.body, dict) or not is_aimed():
        return
    if case.operation.definition.raw.get("operationId") in ("Machines_create", "Machines_update"):
        config = case.body.get("config")
        drawn = config if isinstance(config, dict) else {}
        # Half of them otherwise as drawn.
        case.body["config"] = {**drawn, **MACHINE} if CHANCE.randrange(2) else dict(MACHINE)
    if case.path == "/v1/apps" and case.method == "POST":
        case.body = {**case.body, "app_name": SPARE_APP, "org_slug": "personal"}


def look_around():
    """Finds the machines that are there, makes what is missing, removes what are too many."""
    machines[:] = [machine["id"] for machine in session.get(f"{API}/v1/apps/{APP}/machines", timeout=60).json()]
    for machine in machines[MACHINES_MAX:]:
        session.delete(f"{API}/v1/apps/{APP}/machines/{machine}?force=true", timeout=60)
    del machines[MACHINES_MAX:]
    while len(machines) < MACHINES_MIN:
        machines.append(make(f"/v1/apps/{APP}/machines", {"config": MACHINE})["id"])
    # These are made again whether they are there or not.
    name, machine = CHANCE.choice(NAMES), CHANCE.choice(machines)
    make(f"/v1/apps/{APP}/secrets/{name}", {"value": "kept"})
    make(f"/v1/apps/{APP}/secretkeys/{name}/generate", {"type": "xaes256gcm"})
    make(f"/v1/apps/{APP}/hooks/{name}", {"machine": machine}, "PUT")
    make(f"/v1/apps/{APP}/machines/{machine}/self/memory/{name}", {"value": 1}, "PUT")
    make(f"/v1/apps/{APP}/machines/{machine}/metadata/{name}", {"value": "a label"})


def make(path, body, method="POST"):
    answer = session.request(method, API + path, json=body, timeout=60)
    # A machine may be on its way out, or its policy another one.
    if answer.status_code >= 500:
        raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text}")
    return answer.json() if answer.content else {}


session.post(f"{API}/v1/apps", json={"app_name": APP, "org_slug": "personal"}, timeout=60)
