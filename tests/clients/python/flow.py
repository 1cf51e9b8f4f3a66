"""The typical flow of `fly-python-sdk`, unmodified: its base URL is the daemon's.

Its objects take the base URL in `FlyApi.__init__` alone, so that default is set.
"""

import asyncio
import os

from fly_python_sdk.exceptions import FlyError
from fly_python_sdk.fly.api import FlyApi
from fly_python_sdk.fly.org import Org
from fly_python_sdk.models.machine import (
    FlyMachine,
    FlyMachineConfig,
    FlyMachineConfigGuest,
    FlyMachineConfigProcess,
    FlyMachineConfigRestart,
)

APP = "python"


def at(base_url: str) -> None:
    """Lets every object of the library ask at `base_url`."""
    token, timeout, version, _base_url = ("api_token", *FlyApi.__init__.__defaults__)
    assert token and isinstance(_base_url, str)
    FlyApi.__init__.__defaults__ = (timeout, version, base_url)


async def refused(call) -> None:
    """Awaits a call that must fail."""
    try:
        await call
    except FlyError:
        return
    raise AssertionError("it was not refused")


async def main() -> None:
    at(os.environ["MACHINES_API"])
    org = Org(os.environ["MACHINES_TOKEN"])

    await org.create_app(APP)
    await refused(org.create_app("Not A Name"))
    assert APP in [app.name for app in await org.list_apps()]
    app = org.App(APP)
    shown = await app.inspect()
    assert (shown.name, shown.organization.slug) == (APP, "personal"), shown

    config = FlyMachineConfig(
        image=os.environ["MACHINES_IMAGE"],
        guest=FlyMachineConfigGuest(cpu_kind="shared"),
        restart=FlyMachineConfigRestart(policy="no"),
        env={"GREETING": "hello"},
        metadata={"made": "here"},
        processes=[FlyMachineConfigProcess(name="app", entrypoint=["/bin/sh"], cmd=["-c", "exit 0"])],
    )
    made = await app.create_machine(FlyMachine(name="box", region="local", config=config))
    several = [FlyMachine(region="local", config=config) for _ in range(2)]
    others = [machine.id for machine in await app.create_machines(several)]
    assert sorted(await app.list_machines(ids_only=True)) == sorted([made.id, *others])
    assert len(await app.list_machines(regions=["local"])) == 3

    machine = app.Machine(made.id)
    shown = await machine.inspect()
    assert shown.config.env == config.env and shown.config.metadata == config.metadata, shown
    await refused(app.Machine("nobody").inspect())
    clone = await machine.clone(name="twin")
    assert clone.config.image == config.image and clone.name == "twin", clone

    events = await machine.get_events()
    assert "launch" in [event.type for event in events], events
    await until_stopped(machine)
    await machine.start()
    await until_stopped(machine)

    for one in [made.id, *others, clone.id]:
        await until_stopped(app.Machine(one))
    await app.destroy_machines([made.id, *others, clone.id])
    await app.delete()
    await refused(app.inspect())


async def until_stopped(machine) -> None:
    """The machine's program ends by itself. The library has no call that waits."""
    async with asyncio.timeout(30):
        while (await machine.inspect()).state != "stopped":
            await asyncio.sleep(0.05)


asyncio.run(main())
print("the flow is through")
