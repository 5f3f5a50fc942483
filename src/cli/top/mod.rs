//! `coord top`: the first view of the page, in a terminal: what needs a person, who is here, and what each does.

mod attention;
mod draw;
mod screen;
mod world;

use std::io::{self, IsTerminal};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::child::ChildSignals;
use super::error::CliError;
use super::exit::Exit;
use super::shell::Shell;
use crate::client::{Client, Target};
use draw::Frame;
use screen::Screen;
use world::World;

/// A picture at most so often, over however slow a line.
const TICK: Duration = Duration::from_secs(1);
/// Between two attempts to find a coordinator that is away.
const PAUSE: Duration = Duration::from_secs(2);
const COLUMNS: u16 = 80;
const COLUMNS_MIN: u16 = 20;

#[derive(Debug, clap::Args)]
pub(super) struct TopArgs {
    /// Print the view once, with all its lines, and end
    #[arg(long)]
    once: bool,
}

pub(super) async fn run(args: &TopArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    if shell.out.style().json {
        let next = "for programs there are `coord --json status`, `agent list`, `task list` and `lease list`";
        return Err(CliError::usage("the view is for people", next));
    }
    let variable = |name| shell.environment.variable(name).ok().flatten();
    let is_dumb = variable("TERM").is_none_or(|term| term == "dumb");
    if args.once || is_dumb || !io::stdout().is_terminal() {
        let columns = variable("COLUMNS").and_then(|columns| columns.parse().ok());
        return once(columns, shell).await;
    }
    let target = shell.target()?;
    let client = Client::connect(target.clone()).await?;
    let mut signals = ChildSignals::new()?;
    let mut screen = Screen::enter(shell.out.style().color)?;
    let ended = tokio::select! {
        ended = watch(client, &target, &mut screen) => ended,
        () = quit() => Ok(()),
        _ = signals.next() => Ok(()),
    };
    screen.leave().await;
    ended.map(|()| Exit::Ok)
}

async fn once(columns: Option<u16>, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let mut client = shell.client().await?;
    let world = World::read(&mut client).await?;
    client.close().await;
    let columns = screen::size().map(|(columns, _)| columns).or(columns);
    let columns = columns.unwrap_or(COLUMNS).max(COLUMNS_MIN);
    let color = shell.out.style().color;
    let text = screen::text(&draw::whole(&world, columns), color);
    // It was made safe text by text, and has colours now.
    shell.out.sink().write_all(text.as_bytes())?;
    shell.out.sink().flush()?;
    Ok(Exit::Ok)
}

/// Draws until it cannot go on.
async fn watch(client: Client, target: &Target, screen: &mut Screen) -> Result<(), CliError> {
    let mut shown = None;
    let mut client = Some(client);
    loop {
        let ended = match client.take() {
            Some(mut client) => follow(&mut client, screen, &mut shown).await,
            None => match Client::connect(target.clone()).await {
                Ok(made) => {
                    client = Some(made);
                    continue;
                }
                Err(error) => Err(CliError::from(error)),
            },
        };
        match ended {
            Err(CliError::Client(error)) if error.is_transient() => {
                screen.draw(&Frame::lost(shown.as_ref())).await?;
                sleep(PAUSE).await;
            }
            ended => return ended,
        }
    }
}

/// Draws what one connection tells, across short interruptions.
async fn follow(
    client: &mut Client,
    screen: &mut Screen,
    shown: &mut Option<World>,
) -> Result<(), CliError> {
    let mut resized = signal(SignalKind::window_change())?;
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let world = shown.insert(World::read(client).await?);
    loop {
        let is_lost = !client.is_connected();
        screen
            .draw(&Frame {
                world: Some(world),
                is_lost,
            })
            .await?;
        loop {
            tokio::select! {
                notice = client.notice() => world.heard(notice?),
                _ = tick.tick() => break,
                _ = resized.recv() => break,
            }
        }
        if client.is_connected() {
            world.refresh(client).await?;
        }
    }
}

/// Until somebody presses q. Ctrl-C is a signal.
async fn quit() {
    let mut stdin = tokio::io::stdin();
    let mut keys = [0; 32];
    loop {
        match stdin.read(&mut keys).await {
            Ok(0) | Err(_) => return std::future::pending().await,
            Ok(count) if keys[..count].iter().any(|key| matches!(key, b'q' | b'Q')) => return,
            Ok(_) => {}
        }
    }
}
