//! Side-by-side measurements, by one command: `cargo run --release -p s3dlio-bench -- all`.
//!
//! The wire: a client on one core, nginx on the other, and the same work by bare sockets in turn (see `floor`). Every
//! measurement runs in a process of its own. Nothing here passes or fails by the clock: the table says what was
//! measured beside what is to be reached.

mod data_set;
mod direct;
mod floor;
mod job;
mod nginx;
mod ours;
mod process;
mod report;
mod split;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use data_set::DataSet;
use direct::DiskFile;
use job::{Job, Large, MemoryRead, Runtime, Small};
use nginx::Nginx;
use process::{Sample, measure};
use report::{Bar, Row, Unit};

const MIB: u64 = 1 << 20;

/// Measures s3dlio beside what the machine can do at best.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    what: What,
    /// Rounds; each measures every side once.
    #[arg(long, global = true, default_value_t = 7)]
    rounds: usize,
    /// Print figures and samples as JSON instead of a table.
    #[arg(long, global = true)]
    json: bool,
    /// A directory on the disk that `direct` reads from.
    #[arg(long, global = true, default_value = "/var/tmp")]
    disk: PathBuf,
    /// Size of the file that `direct` reads, in MiB.
    #[arg(long, global = true, default_value_t = 2048)]
    disk_mib: u64,
}

#[derive(Debug, Subcommand)]
enum What {
    /// CPU of small and large GETs, beside bare sockets.
    Wire,
    /// Peak memory of streams and of the loader's reads.
    Memory,
    /// `direct://`, beside fio.
    Direct,
    /// Large objects whole and in ranges, from each kind of storage.
    Split,
    /// All of these.
    All,
    /// nginx and its files alone, until Ctrl-C: for a profiler. Prints a job for `measure` per line.
    Serve,
    /// One measurement, in this process.
    #[command(hide = true)]
    Measure { job: String },
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let What::Measure { job } = &arguments.what {
        let sample = job::run(serde_json::from_str(job).context("the job")?)?;
        println!("{}", serde_json::to_string(&sample)?);
        return Ok(());
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        // What was started and written is stopped and removed when the future is dropped.
        tokio::select! {
            result = run(&arguments) => result,
            _ = tokio::signal::ctrl_c() => bail!("interrupted"),
            _ = terminate.recv() => bail!("terminated"),
        }
    })
}

async fn run(arguments: &Arguments) -> Result<()> {
    let rounds = arguments.rounds;
    let all = matches!(arguments.what, What::All);
    let wire = all || matches!(arguments.what, What::Wire);
    let memory = all || matches!(arguments.what, What::Memory);
    let split = all || matches!(arguments.what, What::Split);
    let disk = all || matches!(arguments.what, What::Direct);
    let mut versions = Vec::new();
    let mut rows = Vec::new();
    if wire || memory || split || matches!(arguments.what, What::Serve) {
        eprintln!("writing 2.1 GiB below /dev/shm");
        let data = DataSet::create()?;
        let server = Nginx::start(data.root()).await?;
        versions.push(nginx::version().await?);
        if matches!(arguments.what, What::Serve) {
            return serve(&server).await;
        }
        if wire {
            rows.extend(measure_wire(&server, rounds).await?);
        }
        if memory {
            rows.extend(measure_memory(&server).await?);
        }
        if split {
            rows.extend(split::rows(&server, &data, &arguments.disk, rounds).await?);
        }
    }
    if disk {
        versions.push(direct::fio_version().await?);
        rows.push(measure_direct(arguments).await?);
    }
    if arguments.json {
        let rows: Vec<_> = rows.iter().map(|row| serde_json::json!({ "row": row, "figures": row.figures() })).collect();
        println!("{}", serde_json::json!({ "versions": versions, "rows": rows }));
    } else {
        println!("{}\n", versions.join(", "));
        print!("{}", report::table(&rows));
    }
    Ok(())
}

fn small(server: &Nginx) -> Small {
    Small {
        endpoint: server.endpoint,
        objects: data_set::SMALL_OBJECTS,
        size: data_set::SMALL_SIZE,
        requests: 2 * data_set::SMALL_OBJECTS,
        in_flight: 32,
    }
}

fn large(server: &Nginx) -> Large {
    Large {
        endpoint: server.endpoint,
        objects: data_set::LARGE_OBJECTS,
        size: data_set::LARGE_SIZE,
        passes: 2,
        at_once: 4,
    }
}

/// CPU per GET and per GiB: the floor and each way of ours in turn, round by round.
async fn measure_wire(server: &Nginx, rounds: usize) -> Result<Vec<Row>> {
    let (small, large) = (small(server), large(server));
    let ours_small = |runtime, hint| Job::OursSmall { small: small.clone(), runtime, hint };
    let ours_large = |runtime| Job::OursLarge { large: large.clone(), runtime };
    let mut rows = in_turn(
        rounds,
        Unit::CpuMicrosecondsPerObject,
        Bar::TimesAtMost(2.0),
        Job::FloorSmall(small.clone()),
        vec![
            ("4 KiB `get`, 32 in flight, current_thread", ours_small(Runtime::CurrentThread, false)),
            ("4 KiB `get`, 32 in flight, one worker", ours_small(Runtime::OneWorker, false)),
            ("4 KiB `fetch` of known size, current_thread", ours_small(Runtime::CurrentThread, true)),
        ],
    )
    .await?;
    rows.extend(
        in_turn(
            rounds,
            Unit::CpuSecondsPerGib,
            Bar::TimesAtMost(1.8),
            Job::FloorLarge(large.clone()),
            vec![
                ("64 MiB `get`, 4 at once, current_thread", ours_large(Runtime::CurrentThread)),
                ("64 MiB `get`, 4 at once, one worker", ours_large(Runtime::OneWorker)),
            ],
        )
        .await?,
    );
    Ok(rows)
}

async fn in_turn(rounds: usize, unit: Unit, bar: Bar, floor: Job, ours: Vec<(&'static str, Job)>) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    for (name, _) in &ours {
        rows.push(Row {
            name: (*name).to_owned(),
            unit,
            reference: Some(("floor", Vec::new())),
            ours: Vec::new(),
            bar,
        });
    }
    for round in 1..=rounds {
        for ((name, job), row) in ours.iter().zip(&mut rows) {
            let (floor, sample) = (measure(&floor).await?, measure(job).await?);
            eprintln!("{round}/{rounds} {name}: floor {:.2}, s3dlio {:.2}", unit.of(&floor), unit.of(&sample));
            if let Some((_, samples)) = &mut row.reference {
                samples.push(floor);
            }
            row.ours.push(sample);
        }
    }
    Ok(rows)
}

/// The most memory a process needs for objects of 64 MiB and 1 GiB: at most its budget and 64 MiB.
async fn measure_memory(server: &Nginx) -> Result<Vec<Row>> {
    let loader = |keys: Vec<String>, size, at_once| MemoryRead::Loader { keys, size, at_once };
    let large_keys = (0..data_set::LARGE_OBJECTS).map(job::large_key).collect();
    let huge_key = data_set::HUGE_KEY.to_owned();
    let cases = [
        ("64 MiB `get_stream`, memory_budget 128 MiB", 128, MemoryRead::Stream { key: job::large_key(0) }),
        ("1 GiB `get_stream`, memory_budget 128 MiB", 128, MemoryRead::Stream { key: huge_key.clone() }),
        ("16 x 64 MiB as the loader, memory_budget 128 MiB", 128, loader(large_keys, data_set::LARGE_SIZE, 8)),
        ("1 GiB as the loader, memory_budget 1 GiB", 1024, loader(vec![huge_key], data_set::HUGE_SIZE, 1)),
    ];
    let mut rows = Vec::new();
    for (name, budget, read) in cases {
        let job = Job::Memory { endpoint: server.endpoint, budget: budget * MIB, read };
        let mut ours = Vec::new();
        for _ in 0..3 {
            ours.push(measure(&job).await?);
        }
        let bar = Bar::AtMost((budget + 64) as f64);
        eprintln!("{name}: {:.0} MiB", Unit::PeakMib.of(&ours[0]));
        rows.push(Row { name: name.to_owned(), unit: Unit::PeakMib, reference: None, ours, bar });
    }
    Ok(rows)
}

async fn measure_direct(arguments: &Arguments) -> Result<Row> {
    let (block_size, queue_depth) = (4 * MIB, 16);
    eprintln!("writing {} MiB below {}", arguments.disk_mib, arguments.disk.display());
    let file = DiskFile::create(&arguments.disk, arguments.disk_mib * MIB)?;
    let job = Job::Direct { file: file.path.clone(), block_size, queue_depth };
    let (mut reference, mut ours) = (Vec::<Sample>::new(), Vec::<Sample>::new());
    for round in 1..=arguments.rounds {
        reference.push(direct::fio(&file.path, block_size, queue_depth).await?);
        ours.push(measure(&job).await?);
        let speed = |samples: &[Sample]| samples.last().map_or(0.0, |sample| Unit::GibPerSecond.of(sample));
        eprintln!("{round}/{} direct: fio {:.2}, s3dlio {:.2}", arguments.rounds, speed(&reference), speed(&ours));
    }
    Ok(Row {
        name: "`direct://` stream, 4 MiB blocks, depth 16".to_owned(),
        unit: Unit::GibPerSecond,
        reference: Some(("fio", reference)),
        ours,
        bar: Bar::TimesAtLeast(0.9),
    })
}

async fn serve(server: &Nginx) -> Result<()> {
    let jobs = [
        Job::FloorSmall(small(server)),
        Job::OursSmall { small: small(server), runtime: Runtime::CurrentThread, hint: false },
        Job::FloorLarge(large(server)),
        Job::OursLarge { large: large(server), runtime: Runtime::CurrentThread },
    ];
    for job in jobs {
        println!("{}", serde_json::to_string(&job)?);
    }
    std::future::pending().await
}
