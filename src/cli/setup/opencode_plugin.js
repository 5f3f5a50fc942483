// Calls `coord hook opencode` with events in the shape that other CLIs give their hooks.
import { spawn } from "node:child_process"

const HOOK = @HOOK@
const TIMEOUT_MS = 5000
const WRITES = new Set(["edit", "write", "patch", "apply_patch", "multiedit"])

function run(event, cwd, payload) {
  return new Promise((done) => {
    const hook = spawn("sh", ["-c", HOOK], { cwd, stdio: ["pipe", "pipe", "ignore"] })
    let out = ""
    const timer = setTimeout(() => hook.kill("SIGKILL"), TIMEOUT_MS)
    const end = () => {
      clearTimeout(timer)
      try {
        done(JSON.parse(out))
      } catch {
        done({})
      }
    }
    hook.stdout.on("data", (data) => (out += data))
    hook.stdin.on("error", () => {})
    hook.on("error", end)
    hook.on("close", end)
    hook.stdin.end(JSON.stringify({ hook_event_name: event, cwd, ...payload }))
  })
}

export const Coord = async ({ client, directory }) => {
  const notes = new Map()
  const said = (answer) => answer.hookSpecificOutput ?? {}
  return {
    "chat.message": async (input, output) => {
      const answer = said(await run("UserPromptSubmit", directory, { session_id: input.sessionID }))
      const text = answer.additionalContext
      const first = output.parts?.find((part) => part.type === "text")
      if (text && first) first.text += "\n\n" + text
    },
    "tool.execute.before": async (input, output) => {
      if (!WRITES.has(input.tool)) return
      const answer = said(
        await run("PreToolUse", directory, {
          session_id: input.sessionID,
          tool_name: input.tool,
          tool_input: output.args,
          tool_use_id: input.callID,
        }),
      )
      if (answer.permissionDecision === "deny") throw new Error(answer.permissionDecisionReason ?? "denied")
      if (answer.additionalContext) notes.set(input.callID, answer.additionalContext)
    },
    "tool.execute.after": async (input, output) => {
      const answer = said(
        await run("PostToolUse", directory, { session_id: input.sessionID, tool_name: input.tool }),
      )
      for (const text of [notes.get(input.callID), answer.additionalContext]) {
        if (text) output.output += "\n" + text
      }
      notes.delete(input.callID)
    },
    event: async ({ event }) => {
      const id = event.properties?.sessionID ?? event.properties?.info?.id
      if (event.type === "session.created") await run("SessionStart", directory, { session_id: id })
      if (event.type === "session.deleted") await run("SessionEnd", directory, { session_id: id })
      if (event.type !== "session.idle") return
      const answer = await run("Stop", directory, { session_id: id })
      const text = answer.decision === "block" ? answer.reason : said(answer).additionalContext
      if (text) await client.session.promptAsync({ path: { id }, body: { parts: [{ type: "text", text }] } })
    },
  }
}
