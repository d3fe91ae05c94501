//! Water molecules: two hydrogen and one oxygen go on together, over as many processes as you like. Start it three times, with `h`,
//! `h` and `o`, or once without: then three tasks with sessions of their own stand for the processes.
//!
//! `cargo run -p conclave-client --example molecules -- [h|o] [MOLECULES]`

use conclave_client::{Client, Session};
use tokio::task::JoinSet;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let atoms = arguments.next().unwrap_or_else(|| "hho".to_owned());
    let molecules: u32 = arguments.next().map_or(Ok(3), |molecules| molecules.parse())?;
    let client = Client::from_environment()?;
    let mut tasks = JoinSet::new();
    for atom in atoms.chars() {
        let session = client.session().name(atom).open().await?;
        tasks.spawn(bond(session, atom, molecules));
    }
    while let Some(bonded) = tasks.join_next().await {
        bonded??;
    }
    Ok(())
}

async fn bond(session: Session, atom: char, molecules: u32) -> Result<(), Failure> {
    // A molecule has room for two hydrogen and for one oxygen; an atom leaves its room only when the molecule is complete.
    let room = match atom {
        'h' => session.semaphore("examples/water/hydrogen", 2),
        'o' => session.semaphore("examples/water/oxygen", 1),
        other => return Err(format!("{other} is no part of water").into()),
    };
    let molecule = session.barrier("examples/water/molecule", 3);
    for _ in 0..molecules {
        let place = room.acquire().await?;
        let bonded = molecule.arrive_and_wait().await?;
        println!("{atom} is number {} of molecule {}", bonded.index + 1, bonded.generation);
        place.release().await?;
    }
    session.close().await?;
    Ok(())
}
