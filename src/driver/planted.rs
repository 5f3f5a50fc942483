//! Planted bugs of the driver that need more than a condition.

use super::core::{Core, Moment};
use super::propose::{Extra, RequestOrigin};
use crate::engine::ids::Position;

impl Core {
    /// Answers when the batch is sent, before it is durable.
    pub(super) fn reply_before_sync(&mut self) {
        let mut early_answers = Vec::new();
        for proposed in &self.appending {
            let Some(project) = self.projects.get(&proposed.project) else {
                continue;
            };
            let mut ahead = project.engine.clone();
            let position = Position(ahead.state().position.0 + 1);
            let answer = ahead
                .apply(position, proposed.at_ms, &proposed.command)
                .answer;
            let Some(pending) = self.pending.get_mut(&proposed.sequence) else {
                continue;
            };
            let Some(origin) = pending.request.as_mut() else {
                continue;
            };
            let Some(id) = origin.id.take() else { continue };
            let early = RequestOrigin {
                connection: origin.connection,
                id: Some(id),
                operation: origin.operation,
                started: origin.started,
            };
            // Only the form of the answer; the secrets stay with the later, correct answer.
            let extra = match pending.extra {
                Extra::OwnAgent => Extra::OwnAgent,
                Extra::OneTask => Extra::OneTask,
                _ => Extra::None,
            };
            early_answers.push((early, answer, extra));
        }
        for (origin, answer, extra) in early_answers {
            self.send_answer(Moment(0), &origin, answer, extra);
        }
    }
}
