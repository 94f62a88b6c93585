--------------------------- MODULE ChangesInstance ---------------------------
(* Small clusters that change: who is a member of what, and which sets of them are quorums. *)
EXTENDS Changes

CONSTANTS n1, n2, n3, n4, first, second, rival, x, y

TwoOfThem == {n1, n2}
ThreeNodes == {n1, n2, n3}
FourNodes == {n1, n2, n3, n4}
OneCommand == {x}
TwoCommands == {x, y}
OneChange == {first, second}
TwoChanges == {first, second, rival}

Number(c) == IF c = first THEN 1 ELSE 2

TwoSlots == 1 .. 2
ThreeSlots == 1 .. 3
OneBallot == {1}
TwoBallots == 1 .. 2
ThreeBallots == 1 .. 3

\* From two members, of whom one is enough to choose, to a third alone: nobody stays, and no quorum meets another's.
AwayQuorum1(c) == IF c = first THEN {{n1, n2}} ELSE {{n3}}
AwayQuorum2(c) == IF c = first THEN {{n1}, {n2}} ELSE {{n3}}

\* From two members of whom one is enough to elect.
EitherQuorum1(c) == IF c = first THEN {{n1}, {n2}} ELSE {{n3}}
EitherQuorum2(c) == IF c = first THEN {{n1, n2}} ELSE {{n3}}

\* One member stays; of the new ones both elect and one is enough to choose.
OverlapQuorum1(c) == IF c = first THEN {{n1, n2}} ELSE {{n2, n3}}
OverlapQuorum2(c) == IF c = first THEN {{n1}, {n2}} ELSE {{n2}, {n3}}

\* The same members with other quorums: from electing together to choosing together.
TurnedQuorum1(c) == IF c = first THEN {{n1, n2}} ELSE {{n1}, {n2}}
TurnedQuorum2(c) == IF c = first THEN {{n1}, {n2}} ELSE {{n1, n2}}

\* A majority of three, and then two members of whom one is new.
MajorityQuorum1(c) == IF c = first THEN {{n1, n2}, {n1, n3}, {n2, n3}} ELSE {{n3, n4}}
MajorityQuorum2(c) == IF c = first THEN {{n1, n2}, {n1, n3}, {n2, n3}} ELSE {{n3}, {n4}}

\* Two operators: one wants n3 alone, the other n4.
RivalsQuorum1(c) == CASE c = first -> {{n1}} [] c = second -> {{n2}} [] OTHER -> {{n3}}
RivalsQuorum2(c) == RivalsQuorum1(c)

=============================================================================
