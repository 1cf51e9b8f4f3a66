// The typical flow of `fly-admin`, unmodified: its base URL is the daemon's.
"use strict";

const assert = require("node:assert/strict");
// `createClient` of the package takes no base URL; the class behind it does.
const { default: Client } = require("fly-admin/dist/client");

const { MACHINES_API: apiUrl, MACHINES_TOKEN: token, MACHINES_IMAGE: image } = process.env;
const app_name = "javascript";

async function main() {
  const fly = new Client(token, { apiUrl });

  await fly.App.createApp({ org_slug: "personal", app_name, network: "default" });
  assert.equal((await fly.App.getApp(app_name)).name, app_name);
  const { apps } = await fly.App.listApps("personal");
  assert.deepEqual(apps.map((app) => app.name).filter((name) => name === app_name), [app_name]);

  const config = {
    image,
    init: { exec: ["/bin/sh", "-c", "exec sleep 600"] },
    env: { GREETING: "hello" },
    guest: { cpu_kind: "shared", cpus: 1, memory_mb: 256 },
    restart: { policy: "no" },
    metadata: { made: "here" },
  };
  const made = await fly.Machine.createMachine({ app_name, name: "box", region: "local", config });
  const machine = { app_name, machine_id: made.id };
  await fly.Machine.waitMachine({ ...machine, state: "started", timeout: "30s" });
  const shown = await fly.Machine.getMachine(machine);
  assert.equal(shown.state, "started");
  assert.equal(shown.config.env.GREETING, "hello");
  assert.equal(shown.config.metadata.made, "here");
  assert.deepEqual((await fly.Machine.listMachines(app_name)).map((one) => one.id), [made.id]);
  const filtered = await fly.Machine.listMachines({ app_name, region: "local", include_deleted: "" });
  assert.equal(filtered.length, 1);
  assert.ok((await fly.Machine.listProcesses(machine)).length > 0);

  const lease = await fly.Machine.acquireLease({ ...machine, ttl: 1, description: "a test" });
  assert.equal(lease.status, "success");
  assert.ok((await fly.Machine.getLease(machine)).data.expires_at > 0);
  await assert.rejects(fly.Machine.stopMachine(machine), /409.*lease currently held/);
  await eventually(async () => {
    await fly.Machine.cordonMachine(machine);
    return true;
  });
  assert.equal((await fly.Machine.getMachine(machine)).cordoned, true);
  await fly.Machine.uncordonMachine(machine);

  const changed = { ...config, env: { GREETING: "changed" } };
  const updated = await fly.Machine.updateMachine({ ...machine, config: changed });
  await fly.Machine.waitMachine({
    ...machine,
    instance_id: updated.instance_id,
    state: "started",
    timeout: "30s",
  });
  assert.equal((await fly.Machine.listVersions(machine)).length, 2);

  await fly.Machine.signalMachine({ ...machine, signal: "SIGCONT" });
  await fly.Machine.restartMachine({ ...machine, timeout: "1s" });
  await fly.Machine.waitMachine({ ...machine, state: "started", timeout: "30s" });
  await fly.Machine.stopMachine({ ...machine, timeout: "1s", signal: "SIGKILL" });
  const { instance_id } = await fly.Machine.getMachine(machine);
  await fly.Machine.waitMachine({ ...machine, instance_id, state: "stopped", timeout: "30s" });
  await fly.Machine.startMachine(machine);
  await fly.Machine.waitMachine({ ...machine, state: "started", timeout: "30s" });
  const kinds = new Set((await fly.Machine.listEvents(machine)).map((event) => event.type));
  for (const kind of ["launch", "start", "stop", "exit", "restart", "update"]) {
    assert.ok(kinds.has(kind), `no event ${kind} among ${[...kinds]}`);
  }
  await assert.rejects(fly.Machine.getMachine({ app_name, machine_id: "nobody" }), /^Error: 404/);

  await fly.Machine.deleteMachine({ ...machine, force: true });
  await fly.Machine.waitMachine({ ...machine, state: "destroyed", timeout: "30s" }).catch(gone);
  await fly.App.deleteApp(app_name);
  await assert.rejects(fly.App.getApp(app_name), /^Error: 404/);
}

// A machine that is destroyed may be forgotten already.
function gone(error) {
  assert.match(error.message, /^404/);
}

// Until a call is no longer refused for the lease, which lasts one second.
async function eventually(call) {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      assert.match(error.message, /^409.*lease currently held/);
      await new Promise((done) => setTimeout(done, 50));
    }
  }
}

main().then(
  () => console.log("the flow is through"),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
