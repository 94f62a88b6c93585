------------------------------- MODULE Instance -------------------------------
(* Small clusters for TLC to explore: who the nodes are, which sets of them are quorums, who owns which ballot. *)
EXTENDS Properties

CONSTANTS n1, n2, n3, x, y

Nodes == {n1, n2, n3}
TwoNodes == {n1, n2}
Commands == {x, y}
Symmetry == Permutations(Commands)

Pairs == {{n1, n2}, {n1, n3}, {n2, n3}}
All == {Nodes}
Both == {TwoNodes}
Either == {{n1}, {n2}}
Third == {{n3}}
Ones == {{n1}, {n2}, {n3}}

OneSlot == {1}
TwoSlots == {1, 2}
ThreeSlots == {1, 2, 3}
TwoBallots == 1 .. 2
ThreeBallots == 1 .. 3
FourBallots == 1 .. 4

\* Ballots go round.
InTurn(b) == CASE b % 3 = 1 -> n1 [] b % 3 = 2 -> n2 [] OTHER -> n3
\* The node of the first ballot comes back.
Returning(b) == IF b % 2 = 1 THEN n1 ELSE n2

\* States that differ only in what a crash would leave of the chosen prefix are one when no crash is left to come.
Essence == <<IF crashes < Lives THEN disk ELSE [n \in Node |-> [disk[n] EXCEPT !.chosen = 0]],
             memory, journal, chosen, role, sent, proposed, announced, served, cast, crashes>>

FirstAndThird(b) == IF b % 2 = 1 THEN n1 ELSE n3

\* A run in which nobody comes to know what is chosen: fewer states, where learning is not the point.
NoExtensions(n) == {}

Whole == {0}
SlotByOne == {0} \cup Slot

=============================================================================
