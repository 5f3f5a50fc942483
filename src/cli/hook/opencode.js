// Written by `coord hook opencode --plugin`. Runs the hooks of the coordinator for opencode: edits, mail, waking.
// Whatever fails here lets opencode go on as if the plugin were not there.
import { spawn } from "node:child_process"

const COORD = @COORD@
const TIMEOUT_MS = 5000
const OUTPUT_MAX = 1024 * 1024
const WRITES = new Set(["edit", "write", "multiedit", "patch", "apply_patch"])

export const Coord = async ({ client, directory }) => {
  const greeted = new Set() // sessions that know the rules
  const children = new Set() // sessions of subagents
  const continued = new Set() // sessions whose turn was made to go on
  const notes = new Map() // tool call → what to add to its output
  const waiters = new Map() // session → the process that waits for mail

  const start = (words, payload) => {
    const child = spawn(COORD, ["hook", ...words], { cwd: directory, stdio: ["pipe", "pipe", "ignore"] })
    child.stdin.on("error", () => {})
    child.stdin.end(JSON.stringify({ cwd: directory, ...payload }))
    return child
  }

  const output = (child, timeoutMs) =>
    new Promise((done) => {
      let text = ""
      const timer = timeoutMs && setTimeout(() => child.kill("SIGKILL"), timeoutMs)
      child.stdout.on("data", (part) => { if (text.length < OUTPUT_MAX) text += part })
      const end = () => {
        clearTimeout(timer)
        try { done(JSON.parse(text)) } catch { done({}) }
      }
      child.on("error", end)
      child.on("close", end)
    })

  const run = async (event, session, more) => {
    try {
      const answer = await output(start(["opencode"], { hook_event_name: event, session_id: session, ...more }), TIMEOUT_MS)
      if (answer.systemMessage) {
        const body = { message: answer.systemMessage, variant: "warning" }
        client.tui?.showToast?.({ body })?.catch?.(() => {})
      }
      return answer.hookSpecificOutput ?? {}
    } catch {
      return {}
    }
  }

  const prompt = (id, text) => client.session.promptAsync({ path: { id }, body: { parts: [{ type: "text", text }] } })

  const stopWaiting = (id) => {
    waiters.get(id)?.kill()
    waiters.delete(id)
  }

  const wait = async (id) => {
    stopWaiting(id)
    try {
      const child = start(["wait", "opencode"], { hook_event_name: "Stop", session_id: id })
      waiters.set(id, child)
      const mail = await output(child)
      if (waiters.get(id) !== child) return
      waiters.delete(id)
      if (!mail.text) return
      const sent = await prompt(id, mail.text)
      // Only what opencode took is out of the mailbox.
      if (!sent?.error) await run("Delivered", id, { messages: mail.messages })
    } catch {}
  }

  const end = (id) => {
    stopWaiting(id)
    children.delete(id)
    continued.delete(id)
    return greeted.delete(id) ? run("SessionEnd", id) : undefined
  }

  return {
    "chat.message": async (input, message) => {
      const id = input.sessionID
      stopWaiting(id)
      const texts = []
      if (!greeted.has(id)) {
        greeted.add(id)
        texts.push((await run("SessionStart", id, { source: "startup" })).additionalContext)
      }
      texts.push((await run("UserPromptSubmit", id)).additionalContext)
      const part = message.parts?.find((part) => part.type === "text")
      const text = texts.filter(Boolean).join("\n\n")
      if (part && text) part.text += "\n\n<coord>\n" + text + "\n</coord>"
    },
    "tool.execute.before": async (input, tool) => {
      if (!WRITES.has(input.tool)) return
      const call = { tool_name: input.tool, tool_input: tool.args, tool_use_id: input.callID }
      const said = await run("PreToolUse", input.sessionID, call)
      if (said.permissionDecision === "deny") throw new Error(said.permissionDecisionReason ?? "denied by coord")
      if (said.additionalContext) notes.set(input.callID, said.additionalContext)
    },
    "tool.execute.after": async (input, tool) => {
      const said = await run("PostToolUse", input.sessionID, { tool_name: input.tool, tool_use_id: input.callID })
      for (const text of [notes.get(input.callID), said.additionalContext]) {
        if (text && typeof tool.output === "string") tool.output += "\n\n" + text
      }
      notes.delete(input.callID)
    },
    "permission.ask": async (input) => {
      await run("Notification", input.sessionID, { notification_type: "permission_prompt" })
    },
    event: async ({ event }) => {
      const properties = event.properties ?? {}
      const id = properties.sessionID ?? properties.info?.id
      if (event.type === "session.created" && properties.info?.parentID) children.add(id)
      if (event.type === "session.deleted") await end(id)
      if (event.type === "session.error" && id) await run("StopFailure", id)
      if (event.type !== "session.idle" || children.has(id)) return
      const said = await run("Stop", id, { stop_hook_active: continued.has(id) })
      if (said.additionalContext) {
        continued.add(id)
        const sent = await prompt(id, said.additionalContext)
        if (!sent?.error) await run("Delivered", id, { messages: said.messages })
        return
      }
      continued.delete(id)
      wait(id)
    },
    dispose: async () => {
      await Promise.all([...greeted].map(end))
    },
  }
}
