#!/usr/bin/env python3
"""Goes through what tests/canon/test_async_tables.c wrote to TABLE_LOG with the specification's own definitions.

    async_twin.py LOG DEFINITIONS

DEFINITIONS is design/mvp/canonical-abi/definitions.py of WebAssembly/component-model. Each step must answer, or trap, as it does there. One thing differs on
purpose: a cancelled copy of a stream that had moved something reports CANCELLED where the definitions report COMPLETED (docs/canon.md). And an assertion of
the definitions, which has a writer's buffer be a reader's when a future's readable end is dropped, is left out.
"""
import importlib.util
import sys
import types


def load(path):
    spec = importlib.util.spec_from_file_location("definitions", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["definitions"] = module
    spec.loader.exec_module(module)
    return module


class Guest:
    """One component instance, whose built-ins are called from a thread that never blocks."""

    def __init__(self, d):
        self.d = d
        self.inst = d.ComponentInstance(d.Store())
        self.memory = d.MemInst(bytearray(65536), "i32")
        self.options = d.CanonicalOptions(memory=self.memory, async_=True)
        task = types.SimpleNamespace(inst=self.inst, deliver_pending_cancel=lambda cancellable: False)
        thread = types.SimpleNamespace(task=task)
        d.thread_local_handler.value = types.SimpleNamespace(current_thread=thread)
        self.stream, self.future = d.StreamType(d.U8Type()), d.FutureType(d.U8Type())

    def poll(self, a, b, index):
        """The event of the same waitable: which one comes first is the host's choice."""
        d, inst = self.d, self.inst

        def chosen(self):
            for w in self.elems:
                if w.has_pending_event() and inst.handles.array.index(w) == index:
                    return w.get_pending_event()
            raise AssertionError(f"handle {index} has no event")
        d.WaitableSet.get_pending_event = chosen
        if b % 4 or b + 8 > 65536:
            raise d.Trap()
        [code] = d.canon_waitable_set_poll(False, self.memory, a, b)
        return code

    def call(self, op, a, b, c, index):
        d, o = self.d, self.options
        kind, _, what = op.partition("-")
        t = self.stream if kind == "stream" else self.future
        if kind in ("stream", "future"):
            f = getattr(d, f"canon_{kind}_{what.replace('-', '_')}")
            if what == "new":
                return f(t)
            if what in ("read", "write"):
                return f(t, o, a, b, c) if kind == "stream" else f(t, o, a, b)
            return f(t, True, a) if what.startswith("cancel") else f(t, a)
        if op == "set-new":
            return d.canon_waitable_set_new()
        if op == "set-poll":
            return [self.poll(a, b, index)]
        if op == "set-drop":
            return d.canon_waitable_set_drop(a)
        return d.canon_waitable_join(a, b)


def drop_future(d):
    def drop(self):
        pending = self.pending_buffer and not self.dropped
        self.dropped = True
        if pending:
            self.reset_and_notify_pending(d.CopyResult.DROPPED)
    d.SharedFutureImpl.drop = drop


def same(op, ours, theirs):
    return ours == theirs or ("stream-cancel" in op and ours & 15 == 2 and theirs & 15 == 0 and ours >> 4 == theirs >> 4)


def main():
    log, d = sys.argv[1], load(sys.argv[2])
    drop_future(d)
    guest, steps = Guest(d), 0
    for line in open(log):
        op, a, b, c, end, result, index, _ = line.split()
        a, b, c, result, index = int(a), int(b), int(c), int(result), int(index)
        steps += 1
        try:
            answer, trapped = guest.call(op, a, b, c, index), False
        except d.Trap:
            answer, trapped = [], True
        if trapped != (end == "trap"):
            sys.exit(f"step {steps}: {line.strip()}: the definitions {'trap' if trapped else 'answer'}")
        if not trapped and answer and not same(op, result, answer[0]):
            sys.exit(f"step {steps}: {line.strip()}: the definitions answer {answer[0]}")
        if trapped:
            guest = Guest(d)
    print(f"{steps} steps, as the definitions have it")


main()
