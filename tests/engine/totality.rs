//! Whatever the journal holds, the engine answers; a refusal changes nothing but the time.

use cli_coordinator::engine::Engine;
use cli_coordinator::engine::command::{Action, Actor, Command};
use cli_coordinator::engine::limits::Limits;
use proptest::collection::vec;
use proptest::prelude::*;

use super::bench::Bench;
use super::strategies;

fn small() -> Limits {
    Limits {
        tasks_open_max: 6,
        tasks_finished_max: 3,
        tasks_bytes_max: 2_000,
        leases_max: 3,
        sessions_max: 3,
        messages_bytes_max: 3_000,
        messages_finished_max: 2,
        mailbox_messages_max: 2,
        mailbox_messages_per_sender_max: 1,
        mailbox_messages_reserved: 1,
        mailbox_messages_reserved_per_sender_max: 1,
        messages_bytes_per_sender_max: 1_500,
        messages_bytes_reserved: 800,
        context_entries_max: 2,
        events_history_max: 5,
        changes_per_event_max: 3,
        agents_max: 4,
        seats_per_principal_max: 1,
        sessions_per_principal_max: 1,
        seat_idle_ms: 70_000,
        concurrency_keys_max: 2,
        request_ids_per_agent_max: 2,
        ..Limits::default()
    }
}

proptest! {
    #![proptest_config(super::bench::cases(300))]

    #[test]
    fn any_command_is_answered(
        steps in vec((strategies::actor(), strategies::request_id(), strategies::action(), strategies::later()), 1..60),
        tight in any::<bool>(),
    ) {
        let mut bench = Bench::new(if tight { small() } else { Limits::default() });
        for (by, request_id, action, later_ms) in steps {
            // What time alone does is what a tick at the same moment would do.
            let mut waited = bench.clone();
            waited.apply(Actor::Node("node".parse().expect("a node id")), None, Action::Tick, later_ms);
            let known = request_id.as_ref().and_then(|id| waited.engine.remembered(&by, id, &action));
            let refused = waited.engine.check(&by, &action).is_err();
            let applied = bench.apply(by, request_id, action.clone(), later_ms);
            prop_assert!(bench.engine.is_consistent(), "{action:?}");
            if let Some(answer) = known {
                prop_assert_eq!(applied.answer, answer);
            } else {
                prop_assert!(!refused || applied.answer.is_err(), "admission refuses {action:?}, the engine does not");
                if applied.answer.is_err() {
                    let (after, same) = (bench.engine.state(), waited.engine.state());
                    prop_assert_eq!(after, same, "{:?} was refused and changed something", action);
                }
            }
        }
    }

    #[test]
    fn commands_and_states_read_back_as_they_were(
        steps in vec((strategies::actor(), strategies::request_id(), strategies::action(), strategies::later()), 1..40),
    ) {
        let mut bench = Bench::new(Limits::default());
        for (by, request_id, action, later_ms) in steps {
            let id = "c-1".parse().expect("a command id");
            let command = Command { id, by: by.clone(), request_id: request_id.clone(), action: action.clone() };
            let text = serde_json::to_vec(&command).expect("commands encode");
            prop_assert_eq!(serde_json::from_slice::<Command>(&text).expect("commands read back"), command);
            bench.apply(by, request_id, action, later_ms);
        }
        let text = serde_json::to_vec(bench.engine.state()).expect("states encode");
        let state = serde_json::from_slice(&text).expect("states read back");
        let again = Engine::from_state(Limits::default(), state);
        prop_assert_eq!(again.state(), bench.engine.state());
        prop_assert!(again.is_consistent());
    }
}
