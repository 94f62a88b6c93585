-------------------------------- MODULE Synod --------------------------------
(***************************************************************************)
(* The protocol of paxos/src, as far as the safety of the log goes:        *)
(* Flexible Multi-Paxos with durable acceptors that crash.                 *)
(*                                                                         *)
(* The numbers are those of docs/protocol.md.  Each rule that can be       *)
(* broken alone is an operator of its own in the first part, so that a     *)
(* mutant is one replaced operator (Mutants.tla).  What must hold is in    *)
(* Properties.tla, what this leaves out in README.md.                      *)
(*                                                                         *)
(* A message, once sent, stays.  Whoever may receive it may do so at any   *)
(* later time, never, or again: that is delay, loss, reordering and        *)
(* repetition in one.                                                      *)
(***************************************************************************)
EXTENDS Integers, Sequences, FiniteSets, TLC

CONSTANTS
    Node,           \* the acceptors, any of which may lead
    Ballot,         \* positive integers
    Owner(_),       \* the only node that may use a ballot
    Slot,           \* positive integers
    Command,        \* what clients ask for
    Noop,           \* what fills a gap
    Quorum1,        \* sets of nodes that suffice for phase 1 ...
    Quorum2,        \* ... and for phase 2
    Alpha,          \* the window
    Pages,          \* last slots at which a page of a promise may end
    Again,          \* whether a Prepare is answered again when the answer has changed
    Backlog,        \* most writes that wait for a disk; 0: every write is durable at once
    Lives           \* most crashes

VARIABLES
    disk,           \* of each node, what is durable: promise, log, chosen prefix
    memory,         \* of each node, its promise and log as its process has them
    journal,        \* of each node, the writes that are not durable yet, oldest first
    chosen,         \* of each node, the prefix that its process knows to be chosen
    role,           \* of each node, what it does about leadership
    sent,           \* Prepare, Promise and Accepted messages: those that wait for writes
    proposed,       \* Accept messages
    announced,      \* of each ballot, the longest chosen prefix its leader told
    served,         \* chosen values that some peer has told
    cast,           \* history: every vote that was ever durable
    crashes         \* history: how many there were

vars == <<disk, memory, journal, chosen, role, sent, proposed, announced, served, cast, crashes>>

Value == Command \cup {Noop}
Max(a, b) == IF a > b THEN a ELSE b
Nothing == [s \in {} |-> 0]

\* What a slot of a log holds. A learned value is chosen, and remembers no ballot.
Voted(b, v) == [ballot |-> b, value |-> v]
Learned(v) == [ballot |-> 0, value |-> v]
IsLearned(entry) == entry.ballot = 0

-----------------------------------------------------------------------------
(* The rules. *)

\* L3 ii, L5: who is enough. Members are counted once each: these are sets.
IsQuorum1(nodes) == \E q \in Quorum1 : q \subseteq nodes
IsQuorum2(nodes) == \E q \in Quorum2 : q \subseteq nodes

\* A1: no promise below a promise.
MayPromise(n, b) == b >= memory[n].promised

\* A2: no vote below a promise; an equal one is enough.
MayVote(n, b, s) == b >= memory[n].promised

\* A2: a vote promises its ballot.
PromiseOfVote(n, b) == Max(b, memory[n].promised)

\* A9: what is known to be chosen is not replaced by a vote.
Contradicts(n, s, v) ==
    s \in DOMAIN memory[n].log /\ IsLearned(memory[n].log[s]) /\ memory[n].log[s].value # v

\* A1: what a promise of b says of a slot. No vote outranks a value learned above a gap.
Report(n, b, s) == LET entry == memory[n].log[s] IN IF IsLearned(entry) THEN Voted(b, entry.value) ELSE entry

\* A1, L7: which slots a promise from `first` on reports. What is in the chosen prefix is left to be learned.
Reported(n, first) == {s \in DOMAIN memory[n].log : s >= first /\ s > chosen[n]}

\* L9: whether the pages in M, all from node a, make a whole promise from slot `first` on.
IsWhole(M, a, first) ==
    LET mine == {m \in M : m.from = a}
    IN  /\ \E m \in mine : m.last = 0
        /\ \A m \in mine : m.first = first \/ \E k \in mine : k.last # 0 /\ k.last + 1 = m.first

\* L3 iii: of the votes reported for one slot, the value of the highest ballot.
Adopted(reports) == (CHOOSE r \in reports : \A other \in reports : other.ballot <= r.ballot).value

\* L7: a candidate first learns what any promise in M reports as decided.
HasLearned(n, M) == \A m \in M : m.chosen <= chosen[n]

\* L3 i: how far a leader may go.
InWindow(n, s) == s <= chosen[n] + Alpha

\* A2: further ahead than this a node takes no votes.
TooFarAhead(n, s) == s > chosen[n] + 2 * Alpha

\* L4: the one slot in which a leader may make its next proposal.
NextSlots(n) == {Max(role[n].next, chosen[n] + 1)}

\* L5: who has voted in this ballot and slot, as its leader hears it.
Votes(b, s) == {m.from : m \in {k \in sent : k.type = "accepted" /\ k.ballot = b /\ k.slot = s}}
IsChosenAt(b, s) == IsQuorum2(Votes(b, s))

\* C1: whether an announcement vouches for the vote that a node has in a slot. Only one of the very ballot does.
Vouches(b, s, entry) == b = entry.ballot /\ s <= announced[b]

\* C1, C2: a prefix has no gaps: it grows by the slot after it.
Extensions(n) == {chosen[n] + 1}

\* L6: a leader gives way when it learns that another value than its own was chosen in a slot.
IsOvertaken(n, s, v) ==
    /\ role[n].kind # "follower"
    /\ s \in DOMAIN memory[n].log
    /\ memory[n].log[s].ballot = role[n].ballot
    /\ memory[n].log[s].value # v

\* C1: what peers have told as chosen, which is what they knew.
Told == served

\* C2: what is applied, and so durable in the state machine as chosen, is durable in this node's log.
IsHeld(n, s) == s \in DOMAIN disk[n].log /\ disk[n].log[s] = memory[n].log[s]

\* L1: what a ballot must be above.
MayStand(n, b) == Owner(b) = n /\ b > memory[n].promised

\* A3: which of the messages that ride on a write wait for it.
Waits(m) == TRUE

\* What was said need not be said again: messages stay.
IsNews(n, m) == m \notin sent /\ \A i \in DOMAIN journal[n] : m \notin journal[n][i].then

\* A5, A6, L1: what a process finds after a crash that left `durable`, and what it resumes.
Recovered(n, durable) == [promised |-> durable.promised, log |-> durable.log]
Resumed(n) == [kind |-> "follower"]

-----------------------------------------------------------------------------
(* Writing. A write holds a promise, entries of the log, the chosen prefix, and the messages that it releases. *)

Write(promised, log, prefix, then) == [promised |-> promised, log |-> log, chosen |-> prefix, then |-> then]

\* A disk after a write.
Settled(d, w) ==
    [promised |-> IF w.promised = 0 THEN d.promised ELSE w.promised,
     log      |-> w.log @@ d.log,
     chosen   |-> Max(d.chosen, w.chosen)]

VotesOf(n, w) == {<<n, w.log[s].ballot, s, w.log[s].value>> : s \in {t \in DOMAIN w.log : ~IsLearned(w.log[t])}}

\* A3: what follows from a write of node n, to its memory at once, to its disk in time.
\* The chosen prefix rides on every write that changes something.
Do(n, promised, log, then) ==
    LET prefix == IF promised = 0 /\ log = Nothing THEN 0 ELSE chosen[n]
        w == Write(promised, log, prefix, {m \in then : Waits(m)})
        early == {m \in then : ~Waits(m)}
    IN  /\ promised # 0 \/ log # Nothing \/ \E m \in then : IsNews(n, m)
        /\ memory' = [memory EXCEPT ![n] =
                [promised |-> IF promised = 0 THEN @.promised ELSE promised, log |-> log @@ @.log]]
        /\ IF Backlog = 0
           THEN /\ disk' = [disk EXCEPT ![n] = Settled(@, w)]
                /\ cast' = cast \cup VotesOf(n, w)
                /\ sent' = sent \cup then
                /\ UNCHANGED journal
           ELSE /\ Len(journal[n]) < Backlog
                /\ journal' = [journal EXCEPT ![n] = Append(@, w)]
                /\ sent' = sent \cup early
                /\ UNCHANGED <<disk, cast>>

\* A4: the oldest write becomes durable, and its messages leave.
Persist(n) ==
    /\ journal[n] # <<>>
    /\ LET w == Head(journal[n])
       IN  /\ disk' = [disk EXCEPT ![n] = Settled(@, w)]
           /\ cast' = cast \cup VotesOf(n, w)
           /\ sent' = sent \cup w.then
    /\ journal' = [journal EXCEPT ![n] = Tail(@)]
    /\ UNCHANGED <<memory, chosen, role, proposed, announced, served, crashes>>

RECURSIVE After(_, _)
After(d, ws) == IF ws = <<>> THEN d ELSE After(Settled(d, Head(ws)), Tail(ws))

\* A process dies and starts again. Of the writes under way the disk has the first few; no message of theirs left.
Crash(n, kept) ==
    /\ crashes < Lives
    /\ kept \in 0 .. Len(journal[n])
    /\ LET had == SubSeq(journal[n], 1, kept)
           durable == After(disk[n], had)
           found == Recovered(n, durable)
       IN  /\ disk' = [disk EXCEPT ![n] = [durable EXCEPT !.promised = found.promised, !.log = found.log]]
           /\ memory' = [memory EXCEPT ![n] = found]
           /\ chosen' = [chosen EXCEPT ![n] = durable.chosen]
           /\ cast' = cast \cup UNION {VotesOf(n, had[i]) : i \in 1 .. kept}
    /\ journal' = [journal EXCEPT ![n] = <<>>]
    /\ role' = [role EXCEPT ![n] = Resumed(n)]
    /\ crashes' = crashes + 1
    /\ UNCHANGED <<sent, proposed, announced, served>>

\* C2: the state machine makes itself durable up to slot p.
Flush(n, p) ==
    /\ p \in disk[n].chosen + 1 .. chosen[n]
    /\ \A s \in disk[n].chosen + 1 .. p : IsHeld(n, s)
    /\ disk' = [disk EXCEPT ![n].chosen = p]
    /\ UNCHANGED <<memory, journal, chosen, role, sent, proposed, announced, served, cast, crashes>>

-----------------------------------------------------------------------------
(* The acceptor. *)

\* L6: a node that leads or stands under a lower ballot than it promises gives way.
Yield(n, b) == role' = IF role[n].kind # "follower" /\ role[n].ballot < b
                       THEN [role EXCEPT ![n] = [kind |-> "follower"]] ELSE role

\* Zero where there is nothing to write.
Raised(n, b) == IF b > memory[n].promised THEN b ELSE 0

Promise(n, b, first, last) ==
    [type |-> "promise", from |-> n, ballot |-> b, first |-> first, last |-> last, chosen |-> chosen[n],
     votes |-> [s \in {t \in Reported(n, first) : last = 0 \/ t <= last} |-> Report(n, b, s)]]

IsFirst(n, b, first) ==
    /\ \A m \in sent : ~(m.type = "promise" /\ m.from = n /\ m.ballot = b /\ m.first = first)
    /\ \A i \in DOMAIN journal[n] : \A m \in journal[n][i].then :
        ~(m.type = "promise" /\ m.ballot = b /\ m.first = first)

\* A1, L2, L9: answers a Prepare with the page from `first` to `last`, or to the end if that is 0.
OnPrepare(n, b, first, last) ==
    /\ \E m \in sent : /\ m.ballot = b
                       /\ \/ m.type = "prepare" /\ m.first = first
                          \/ m.type = "promise" /\ m.from = n /\ m.last # 0 /\ m.last + 1 = first
    /\ MayPromise(n, b)
    /\ Again \/ IsFirst(n, b, first)
    /\ last # 0 => last >= first /\ \E s \in Reported(n, first) : s > last
    /\ Do(n, IF memory[n].promised = b THEN 0 ELSE b, Nothing, {Promise(n, b, first, last)})
    /\ Yield(n, b)
    /\ UNCHANGED <<chosen, proposed, announced, served, crashes>>

\* A2, A3, L4: votes, or says again that it did. A value that is known to be chosen needs no vote to be accepted.
OnAccept(n, b, s, v) ==
    /\ <<b, s, v>> \in proposed
    /\ MayVote(n, b, s)
    /\ s > chosen[n]
    /\ ~Contradicts(n, s, v)
    /\ ~TooFarAhead(n, s)
    /\ LET known == s \in DOMAIN memory[n].log
           again == known /\ memory[n].log[s].ballot = b
           learned == known /\ IsLearned(memory[n].log[s]) /\ memory[n].log[s].value = v
           promise == PromiseOfVote(n, b)
       IN  /\ again => memory[n].log[s].value = v
           /\ Do(n, IF promise = memory[n].promised THEN 0 ELSE promise,
                 IF again \/ learned THEN Nothing ELSE s :> Voted(b, v),
                 {[type |-> "accepted", from |-> n, ballot |-> b, slot |-> s]})
    /\ Yield(n, b)
    /\ UNCHANGED <<chosen, proposed, announced, served, crashes>>

\* A2, A9, L10: an Accept that is not voted for, because the slot is decided or the node too far behind, still promises.
OnAcceptPassed(n, b) ==
    /\ \E p \in proposed :
        p[1] = b /\ (p[2] <= chosen[n] \/ Contradicts(n, p[2], p[3]) \/ TooFarAhead(n, p[2]))
    /\ b > memory[n].promised
    /\ Do(n, b, Nothing, {})
    /\ Yield(n, b)
    /\ UNCHANGED <<chosen, proposed, announced, served, crashes>>

-----------------------------------------------------------------------------
(* The leader. *)

\* L1, L2: begins phase 1 for all slots above its chosen prefix.
Stand(n, b) ==
    /\ MayStand(n, b)
    /\ Do(n, b, Nothing, {[type |-> "prepare", ballot |-> b, first |-> chosen[n] + 1]})
    /\ role' = [role EXCEPT ![n] = [kind |-> "candidate", ballot |-> b, first |-> chosen[n] + 1]]
    /\ UNCHANGED <<chosen, proposed, announced, served, crashes>>

PromisesOf(b) == {m \in sent : m.type = "promise" /\ m.ballot = b}

\* L3 ii, L3 iii, L7, L9: the promises in M are enough to lead. Slots up to the horizon are bound by what they report.
Lead(n, M) ==
    /\ role[n].kind = "candidate"
    /\ M \subseteq PromisesOf(role[n].ballot)
    /\ \A m \in M : IsWhole(M, m.from, role[n].first)
    /\ IsQuorum1({m.from : m \in M})
    /\ HasLearned(n, M)
    /\ LET slots == {s \in UNION {DOMAIN m.votes : m \in M} : s > chosen[n]}
           reports(s) == {m.votes[s] : m \in {k \in M : s \in DOMAIN k.votes}}
           horizon == IF slots = {} THEN chosen[n] ELSE CHOOSE s \in slots : \A t \in slots : t <= s
           bound == [s \in chosen[n] + 1 .. horizon |-> IF s \in slots THEN Adopted(reports(s)) ELSE Noop]
       IN  role' = [role EXCEPT ![n] =
                [kind |-> "leader", ballot |-> @.ballot, next |-> chosen[n] + 1, bound |-> bound]]
    /\ announced' = [announced EXCEPT ![role[n].ballot] = chosen[n]]
    /\ UNCHANGED <<disk, memory, journal, chosen, sent, proposed, served, cast, crashes>>

\* L3 iii: what a leader may propose: what phase 1 bound, up to the horizon; beyond that whatever clients want.
Proposable(n, s) == IF s \in DOMAIN role[n].bound THEN {role[n].bound[s]} ELSE Command

\* L3, L4, L8: proposes, beside its own vote.
Propose(n, s, v) ==
    /\ role[n].kind = "leader"
    /\ s \in NextSlots(n)
    /\ InWindow(n, s)
    /\ v \in Proposable(n, s)
    /\ ~Contradicts(n, s, v)
    /\ LET b == role[n].ballot
       IN  /\ proposed' = proposed \cup {<<b, s, v>>}
           /\ Do(n, 0, s :> Voted(b, v), {[type |-> "accepted", from |-> n, ballot |-> b, slot |-> s]})
    /\ role' = [role EXCEPT ![n].next = s + 1, ![n].bound = [t \in DOMAIN @ \ {s} |-> @[t]]]
    /\ UNCHANGED <<chosen, announced, served, crashes>>

-----------------------------------------------------------------------------
(* Learning. *)

\* C1, L5: slot s is known to be chosen, with the value in this node's log: that was learned, or the leader whose
\* ballot the vote has announced it, or this node leads in that ballot and has heard a phase-2 quorum.
\* Whatever is known may be told to others at once, and be heard later.
Advance(n, s) ==
    LET entry == memory[n].log[s]
        leads == role[n].kind = "leader"
    IN  /\ s \in Extensions(n)
        /\ s \in DOMAIN memory[n].log
        /\ \/ IsLearned(entry)
           \/ \E b \in DOMAIN announced : Vouches(b, s, entry)
           \/ leads /\ entry.ballot = role[n].ballot /\ IsChosenAt(entry.ballot, s)
        /\ chosen' = [chosen EXCEPT ![n] = s]
        /\ served' = served \cup {<<s, entry.value>>}
        /\ announced' = IF leads THEN [announced EXCEPT ![role[n].ballot] = s] ELSE announced
        /\ UNCHANGED <<disk, memory, journal, role, sent, proposed, cast, crashes>>

\* C1, A9, L6: a peer that knew has told what was chosen in some slots.
Learn(n, values) ==
    /\ values # Nothing
    /\ \A s \in DOMAIN values : /\ <<s, values[s]>> \in Told
                                /\ s > chosen[n]
                                /\ s \in DOMAIN memory[n].log => ~IsLearned(memory[n].log[s])
    /\ Do(n, 0, [s \in DOMAIN values |-> Learned(values[s])], {})
    /\ role' = IF \E s \in DOMAIN values : IsOvertaken(n, s, values[s])
               THEN [role EXCEPT ![n] = [kind |-> "follower"]] ELSE role
    /\ UNCHANGED <<chosen, proposed, announced, served, crashes>>

-----------------------------------------------------------------------------

Init ==
    /\ disk = [n \in Node |-> [promised |-> 0, log |-> Nothing, chosen |-> 0]]
    /\ memory = [n \in Node |-> [promised |-> 0, log |-> Nothing]]
    /\ journal = [n \in Node |-> <<>>]
    /\ chosen = [n \in Node |-> 0]
    /\ role = [n \in Node |-> [kind |-> "follower"]]
    /\ sent = {}
    /\ proposed = {}
    /\ announced = [b \in Ballot |-> 0]
    /\ served = {}
    /\ cast = {}
    /\ crashes = 0

\* One page of a promise from each node of a phase-1 quorum is enough to try; pages that follow come on top.
Candidates(n) == IF role[n].kind = "candidate" THEN SUBSET PromisesOf(role[n].ballot) ELSE {}

Next ==
    \E n \in Node :
        \/ \E b \in Ballot : Stand(n, b)
        \/ \E b \in Ballot, first \in Slot, last \in Pages : OnPrepare(n, b, first, last)
        \/ \E M \in Candidates(n) : Lead(n, M)
        \/ role[n].kind = "leader" /\ \E s \in NextSlots(n) \cap Slot : \E v \in Proposable(n, s) : Propose(n, s, v)
        \/ \E p \in proposed : Owner(p[1]) # n /\ OnAccept(n, p[1], p[2], p[3])
        \/ \E b \in Ballot : OnAcceptPassed(n, b)
        \/ \E s \in Slot : Advance(n, s)
        \/ \E told \in Told : Learn(n, told[1] :> told[2])
        \/ Persist(n)
        \/ \E kept \in 0 .. Backlog : Crash(n, kept)
        \/ crashes < Lives /\ \E p \in Slot : Flush(n, p) \* it matters to later crashes only

Spec == Init /\ [][Next]_vars

=============================================================================
