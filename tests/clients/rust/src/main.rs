//! The typical flow of `fly-sdk`, unmodified but for its base URL.

use fly_sdk::FlyControl;
use fly_sdk::machines::{InitConfig, MachineConfig, MachineRegions, MachineRequest, MachineState};
use std::env::var;
use std::error::Error;

const APP: &str = "rust";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let image = var("MACHINES_IMAGE")?;
    let fly = FlyControl::new(var("MACHINES_TOKEN")?);
    fly.apps.create(APP, "personal").await?;
    assert!(fly.apps.list("personal").await?.iter().any(|app| app.name == APP));

    let request = |name: &str| {
        let mut config = MachineConfig::builder().image(&image).build();
        let exec = ["/bin/sh", "-c", "exec sleep 600"].map(str::to_owned).into();
        config.init = Some(InitConfig {
            exec: Some(exec),
            cmd: None,
            entrypoint: None,
            kernel_args: None,
            swap_size_mb: None,
            tty: None,
        });
        MachineRequest::new(config, Some(name.to_owned()), Some(MachineRegions::Iad))
    };
    let made = fly.machines.create(APP, request("box")).await?;
    let (id, instance) = (made.id.expect("an id"), made.instance_id.expect("a version"));
    fly.machines.wait_for_machine_state(APP, &id, MachineState::Started, Some(30), None).await?;
    assert_eq!(fly.machines.list(APP).await?.len(), 1);
    fly.machines.stop(APP, &id, &instance).await?;
    fly.machines.start(APP, &id).await?;
    assert_eq!(fly.machines.get_machine(APP, &id).await?.state.as_deref(), Some("started"));
    assert!(!fly.machines.list_events(APP, &id).await?.is_empty());
    assert!(!fly.machines.list_processes(APP, &id).await?.is_empty());
    let words = vec!["/bin/sh", "-c", "echo here"];
    let outcome = fly.machines.execute_command(APP, &id, words, Some(10)).await?;
    assert!(format!("{outcome:?}").contains("here\\n"), "{outcome:?}");
    fly.machines.restart_machine(APP, &id, &instance).await?;
    let updated = fly.machines.update_machine(APP, &id, &instance, request("box")).await?;
    assert_ne!(updated.instance_id.as_deref(), Some(&*instance));
    fly.machines.wait_for_machine_state(APP, &id, MachineState::Started, Some(30), None).await?;

    // Its calls for secrets read answers of another shape than the official description has.
    fly.machines.delete(APP, &id, true).await?;
    fly.apps.delete(APP, false).await?;
    assert!(!fly.apps.list("personal").await?.iter().any(|app| app.name == APP));
    println!("the flow is through");
    Ok(())
}
