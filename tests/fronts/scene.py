"""What a cell works with: a coordinator, a model, a repository, and agents that run real CLIs in it."""

import json
import os
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

from clis import CLIS
from clis.base import Http, Stdio, Surroundings
from coordinator import Coordinator
from model import Model
from processes import Failure, Program, collect_orphans, left_behind


class Scene:
    def __init__(self, modules, binary, cli=None):
        self.modules = modules
        self.cli = cli
        self.folder = Path(tempfile.mkdtemp(prefix="coord-fronts-"))
        self.project = self.folder / "project"
        self.programs = self.folder / "programs"
        self.sessions = []
        self.make_programs(binary)
        self.make_project()
        self.model = Model()
        (self.folder / "coordinator").mkdir()
        self.coordinator = Coordinator(binary, self.folder / "coordinator")

    def make_programs(self, binary):
        """`coord` and `node` are on the path of each CLI, as after an installation."""
        self.programs.mkdir()
        (self.programs / "coord").symlink_to(binary)
        node = next(self.modules.glob("node-linux-*/bin/node"))
        (self.programs / "node").symlink_to(node)

    def install(self, cli):
        """Puts a CLI on the path, where `coord setup` and `coord doctor` look for it."""
        program = self.programs / cli.name
        program.write_text(f'#!/bin/sh\nexec {" ".join(map(str, cli.command()))} "$@"\n')
        program.chmod(0o755)

    def make_project(self):
        self.project.mkdir()
        (self.project / "a.txt").write_text("hello world\n")
        self.git("init", "-q")
        self.git("config", "user.name", "a")
        self.git("config", "user.email", "a@localhost")
        self.git("add", "-A")
        self.git("commit", "-qm", "first")

    def git(self, *words):
        """What git says, as the user outside of any CLI."""
        variables = {"PATH": os.environ["PATH"], "HOME": str(self.folder)}
        done = subprocess.run(["git", *words], cwd=self.project, check=True, env=variables, capture_output=True,
                              text=True)
        return done.stdout.strip()

    def agent(self, name="ana", cli=None, over="http", seats=False, **place):
        """An agent with a home folder of its own, and with the coordinator's tools over HTTP, over stdio, or
        (`over=None`) without them; `place` has more of its surroundings."""
        token = self.coordinator.token(name, *(["--seats"] if seats else []))
        home = self.folder / f"home-{name}"
        home.mkdir(exist_ok=True)
        server = {"http": Http(self.coordinator.mcp_url), "stdio": Stdio(), None: None}[over]
        place = Surroundings(home=home, project=self.project, programs=self.programs, model_url=self.model.url,
                             server=server, secret=token.read_text().strip(), **place)
        found = CLIS[cli or self.cli](self.modules, place)
        found.configure()
        found.write(".config/coord/client.toml",
                    f'url = "{self.coordinator.url}"\ntoken_file = "{token}"\n')
        return Agent(self, name, found)

    def newcomer(self, **place):
        """Somebody who has a CLI, and nothing of the coordinator's yet."""
        home = self.folder / "home-newcomer"
        home.mkdir()
        place = Surroundings(home=home, project=self.project, programs=self.programs, model_url=self.model.url,
                             server=None, secret="", set_up=True, **place)
        found = CLIS[self.cli](self.modules, place)
        found.configure()
        self.install(found)
        return Agent(self, "newcomer", found)

    def program(self, name, words, variables, terminal=False):
        log = self.folder / f"{len(self.sessions)}-{name}.log"
        program = Program(words, log, variables, self.project, terminal)
        self.sessions.append(program)
        return program

    def barrier(self, sessions):
        """Where several sessions wait for each other. A check that fails lets the others go on, and fail."""
        barrier = threading.Barrier(sessions, timeout=120)
        self.model.on_fault.append(barrier.abort)
        return barrier

    def end(self, *sessions):
        """Waits for the end of sessions, and reports the first fault of any."""
        for session in sessions:
            session.program.wait(session.agent.cli.limit)
        faults = [session.script.fault for session in sessions if session.script.fault]
        for fault in sorted(faults, key=lambda fault: isinstance(fault, threading.BrokenBarrierError)):
            raise fault
        for session in sessions:
            session.end()

    def close(self):
        for program in self.sessions:
            program.stop()
        self.coordinator.stop()
        self.model.stop()
        left = left_behind()
        collect_orphans()
        return left

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def report(self):
        """What everyone said, for a cell that failed."""
        for log in sorted([*self.folder.glob("*.log"), *self.folder.glob("coordinator/*.log")]):
            yield f"--- {log.name}", log.read_text(errors="replace")[-6000:]
        for script in self.model.scripts.values():
            last = script.requests[-1] if script.requests else None
            yield f"--- results of script {script.number}", "\n".join(map(str, script.results))[-6000:]
            if last and not script.results:
                yield "--- the last request of the model", json.dumps(last)[-3000:]


class Agent:
    def __init__(self, scene, name, cli):
        self.scene = scene
        self.name = name
        self.cli = cli

    def start(self, script, *flags):
        """Starts a session that runs a script."""
        words = [*self.cli.command(), *self.cli.one_shot(script.prompt), *flags]
        return Session(self, self.scene.program(self.name, words, self.cli.variables()), script)

    def sit_down(self, script):
        """Starts a session in a terminal, which stays when the script is over."""
        words = [*self.cli.command(), *self.cli.in_terminal(script.prompt)]
        return Session(self, self.scene.program(self.name, words, self.cli.variables(), terminal=True), script)

    def run(self, script, *flags):
        """Runs a script to its end, which must be a good one."""
        return self.start(script, *flags).end()

    def coord(self, *words, **variables):
        """What `coord` prints to this agent in the repository, and how it ends."""
        program = self.scene.program(self.name, [self.cli.place.programs / "coord", *words],
                                     self.cli.variables() | variables)
        code = program.wait(60)
        return code, program.output()

    def command(self, *words):
        """The output of a command of the CLI's own, such as `mcp list`."""
        program = self.scene.program(self.name, [*self.cli.command(), *words], self.cli.variables())
        program.wait(self.cli.limit)
        return program.output()


class Session:
    def __init__(self, agent, program, script):
        self.agent = agent
        self.program = program
        self.script = script

    def killed(self):
        """Waits for the end of a session that its script kills."""
        self.program.wait(self.agent.cli.limit)
        if self.script.fault:
            raise self.script.fault

    def end(self):
        code = self.program.wait(self.agent.cli.limit)
        if self.script.fault:
            raise self.script.fault
        if code != 0 or not self.script.over:
            raise Failure(f"{self.agent.cli.name} ended with {code}, after {len(self.script.results)} results")
        return self
