------------------------------- MODULE Changes -------------------------------
(***************************************************************************)
(* Changing the configuration, members and quorums together, while the log *)
(* goes on: rules R1, R2, R3 and R6 of docs/protocol.md.                   *)
(*                                                                         *)
(* Synod.tla shows what is right with one configuration.  Here acceptors   *)
(* are told in two facts each, what they have promised and what they have  *)
(* voted for, and all are durable: so the configurations can change within *)
(* what TLC can explore.  As there, each rule that can be broken alone is  *)
(* an operator (ChangesMutants.tla breaks them).                           *)
(***************************************************************************)
EXTENDS Integers, FiniteSets, TLC

CONSTANTS
    Node,
    Ballot,         \* positive integers
    Slot,           \* 1 .. the last one
    Command,        \* what clients ask for
    Configuration,  \* the configurations that there may be ...
    First,          \* ... and the one of the first slot
    Epoch(_),       \* the number of a configuration; that of First is 1
    Quorum1(_),     \* of a configuration, the sets of nodes that suffice for phase 1 ...
    Quorum2(_),     \* ... and for phase 2
    Alpha           \* the window

VARIABLES
    promised,       \* of each node, the highest ballot that it has promised or voted in
    proposed,       \* what leaders proposed: ballot, slot, value, and the configuration by which they count
    cast,           \* every vote
    kept,           \* of each node, the prefix that its disk has as chosen
    retired,        \* whether a leader has found the first configuration retired
    gone            \* who was switched off since, for ever

vars == <<promised, proposed, cast, kept, retired, gone>>

\* A change of configuration is a value like any other.
Value == Command \cup (Configuration \ {First})
Members(c) == UNION (Quorum1(c) \cup Quorum2(c))

Voters(p) == {v.node : v \in {k \in cast : k.ballot = p.ballot /\ k.slot = p.slot}}

-----------------------------------------------------------------------------
(* The rules. *)

\* L5: a value is chosen by a phase-2 quorum of the configuration by which its leader counts.
IsChosen(p) == \E q \in Quorum2(p.by) : q \subseteq Voters(p)
Chosen(s) == {p.value : p \in {k \in proposed : k.slot = s /\ IsChosen(k)}}
KnowsPrefix(c) == \A s \in 1 .. c : Chosen(s) # {}

\* R2: whether a change chosen in slot s follows on what governs so far. It is judged from the log before s alone.
TakesEffect(governing, s, value) ==
    /\ value \in Configuration
    /\ Epoch(value) = Epoch(governing.newest) + 1
    /\ governing.from <= s

\* R1: from which slot on.
FromSlot(s) == s + Alpha

\* The configurations as of a prefix: the newest, the first slot that it governs, and the one before it.
RECURSIVE AsOf(_)
AsOf(c) ==
    IF c = 0 THEN [newest |-> First, from |-> 1, before |-> First]
    ELSE LET governing == AsOf(c - 1)
             value == CHOOSE v \in Chosen(c) : TRUE
         IN  IF TakesEffect(governing, c, value)
             THEN [newest |-> value, from |-> FromSlot(c), before |-> governing.newest]
             ELSE governing
In(governing, s) == IF governing.from <= s THEN governing.newest ELSE governing.before

\* R1, L3 i: by which configurations a leader that knows the prefix c may propose in slot s.
By(c, s) == IF s <= c + Alpha THEN {In(AsOf(c), s)} ELSE {}

\* L3 ii, R3: whose promises it takes.
Promisers(c) == Quorum1(c)

\* L3 iii
MayPropose(b, s, v, q) ==
    LET votes == {k \in cast : k.node \in q /\ k.slot = s /\ k.ballot < b}
    IN  votes = {} \/ \E k \in votes : k.value = v /\ \A other \in votes : other.ballot <= k.ballot

\* R6: what must be on the disks of a phase-2 quorum of the new configuration before the old one is retired.
IsKept(governing) == \E q \in Quorum2(governing.newest) : \A n \in q : kept[n] >= governing.from - 1

-----------------------------------------------------------------------------
(* What may happen. *)

Init ==
    /\ promised = [n \in Node |-> 0]
    /\ proposed = {}
    /\ cast = {}
    /\ kept = [n \in Node |-> 0]
    /\ retired = FALSE
    /\ gone = {}

\* A1. Votes below a promised ballot are no longer given: a leader may read them at any later time.
Promise(n, b) ==
    /\ n \notin gone /\ b > promised[n]
    /\ promised' = [promised EXCEPT ![n] = b]
    /\ UNCHANGED <<proposed, cast, kept, retired, gone>>

Propose(b, s, v) ==
    /\ \A p \in proposed : p.ballot # b \/ p.slot # s
    /\ \E c \in {k \in 0 .. s - 1 : KnowsPrefix(k)} : \E by \in By(c, s) :
        /\ \E q \in Promisers(by) :
            /\ q \cap gone = {}
            /\ \A n \in q : promised[n] >= b
            /\ MayPropose(b, s, v, q)
        /\ proposed' = proposed \cup {[ballot |-> b, slot |-> s, value |-> v, by |-> by]}
    /\ UNCHANGED <<promised, cast, kept, retired, gone>>

\* A2, A8
Vote(n, p) ==
    LET vote == [node |-> n, ballot |-> p.ballot, slot |-> p.slot, value |-> p.value]
    IN  /\ n \notin gone /\ n \in Members(p.by) /\ p.ballot >= promised[n] /\ vote \notin cast
        /\ promised' = [promised EXCEPT ![n] = p.ballot]
        /\ cast' = cast \cup {vote}
        /\ UNCHANGED <<proposed, kept, retired, gone>>

\* C1, C2: a node learns the next slot of the prefix, and its disk has it as chosen.
Keep(n) ==
    /\ n \notin gone /\ kept[n] + 1 \in Slot /\ KnowsPrefix(kept[n] + 1)
    /\ kept' = [kept EXCEPT ![n] = @ + 1]
    /\ UNCHANGED <<promised, proposed, cast, retired, gone>>

\* R6: the leader of the new configuration finds the old one retired.
Retire ==
    /\ ~retired
    /\ \E c \in {k \in 1 .. Cardinality(Slot) : KnowsPrefix(k)} : AsOf(c).newest # First /\ IsKept(AsOf(c))
    /\ retired' = TRUE
    /\ UNCHANGED <<promised, proposed, cast, kept, gone>>

Newest == AsOf(CHOOSE c \in 0 .. Cardinality(Slot) :
    KnowsPrefix(c) /\ \A d \in 0 .. Cardinality(Slot) : KnowsPrefix(d) => d <= c)

\* R6: whoever is left out is told, and switched off.
Leave(n) ==
    /\ retired /\ n \notin gone /\ n \notin Members(Newest.newest)
    /\ gone' = gone \cup {n}
    /\ UNCHANGED <<promised, proposed, cast, kept, retired>>

Next ==
    \/ \E n \in Node, b \in Ballot : Promise(n, b)
    \/ \E b \in Ballot, s \in Slot, v \in Value : Propose(b, s, v)
    \/ \E n \in Node, p \in proposed : Vote(n, p)
    \/ \E n \in Node : Keep(n)
    \/ Retire
    \/ \E n \in Node : Leave(n)

Spec == Init /\ [][Next]_vars

-----------------------------------------------------------------------------
(* What must hold. *)

\* I1: no two values are ever chosen in one slot, whoever counts.
Agreement == \A s \in Slot : Cardinality(Chosen(s)) <= 1

\* I13: whoever counts in a slot, counts by the configuration that follows from the chosen log.
Configurations ==
    \A p \in proposed : KnowsPrefix(p.slot - Alpha) =>
        p.by = In(AsOf(IF p.slot > Alpha THEN p.slot - Alpha ELSE 0), p.slot)

\* R6: when the old members are gone, every phase-1 quorum of the new ones has somebody whose disk has what they chose.
Kept ==
    retired => \A q \in Quorum1(Newest.newest) : \E n \in q : kept[n] >= Newest.from - 1

\* What must be reachable, or the above holds for want of anything happening.
NeverInForce == \A p \in proposed : p.by = First
NeverChosenByNew == \A p \in proposed : p.by = First \/ ~IsChosen(p)
NeverRetired == ~retired
NeverAlone == gone = {}
\* A value that was proposed under the new configuration is proposed again by a later leader.
NeverCarriedOver ==
    \A p, q \in proposed : p.by # First /\ q.by # First /\ p.slot = q.slot /\ p.ballot < q.ballot => p.value # q.value
\* Two changes of the same configuration are chosen, and one of them is void.
NeverVoid == Cardinality({v \in Configuration : \E s \in Slot : v \in Chosen(s)}) < 2

=============================================================================
