//! What the planted bugs of the driver do, where that takes more than a condition.

use super::core::{Core, Moment};
use super::propose::{Extra, RequestOrigin};
use crate::engine::ids::Position;

impl Core {
    /// Answers as soon as the batch is sent off.
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
            // The form of the answer; its secrets stay with the one that is due.
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
