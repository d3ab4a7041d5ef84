"""Small linear decks in the styles of textbooks and schematic tools: what people draw elsewhere, to be checked here.

Written for these tests. Each has what its kind has in the wild: units on values, waveforms, starts, output lines,
continuations, models by name, `.tran ... uic`, supplies, comments of three dialects.
"""

DECKS: dict[str, str] = {}


def _deck(name: str, text: str) -> None:
    DECKS[name] = f"{name}\n{text.strip()}\n.end\n"


# --- filters of R and C -------------------------------------------------------------------------

_deck(
    "rc_lowpass",
    """
V1 in 0 DC 0 AC 1
R1 in out 1k
C1 out 0 1uF
.ac dec 10 1 100k
.print ac v(out)
""",
)
_deck(
    "rc_highpass_into_load",
    """
* KiCad schematic, AC coupled input
V1 /in GND AC 1 SIN(0 1 1k)
C1 /in /out 100n
R1 /out GND 47k
C2 /out GND 22p
.save v(/out)
.tran 1u 5m
""",
)
_deck(
    "rc_ladder_5",
    """
.param r=10k c=1n
VIN 1 0 PULSE(0 5 1u 1n 1n 10u 20u) AC 1
R1 1 2 {r}
C1 2 0 {c}
R2 2 3 {r}
C2 3 0 {c}
R3 3 4 {r}
C3 4 0 {c}
R4 4 5 {r}
C4 5 0 {c}
R5 5 6 {r}
C5 6 0 {c}
.tran 0.1u 100u
.print tran v(6) v(3)
""",
)
_deck(
    "rc_ladder_with_starts",
    """
R1 1 0 1k
C1 1 0 1u IC=5
R2 1 2 2.2k
C2 2 0 470n IC=-3
.ic v(1)=5 v(2)=-3
.tran 10u 10m UIC
.print tran v(1) v(2)
""",
)
_deck(
    "bridged_t_notch",
    """
V1 in 0 dc 0 ac 1 0
C1 in a 10n
C2 a out 10n
R1 in out 100k
R2 a 0 1k
RL out 0 1Meg
CL out 0 10p
.ac dec 100 10 100k
.plot ac vdb(out)
.save v(out)
""",
)
_deck(
    "twin_t_notch",
    """
Vs 1 0 AC 1
R1 1 2 10k
R2 2 3 10k
C3 2 0 31.8n
C1 1 4 15.9n
C2 4 3 15.9n
R3 4 0 5k
Rload 3 0 1meg
Cload 3 0 5p
.save v(3) v(2)
""",
)
_deck(
    "wien_bridge_network",
    """
V1 in 0 1 AC 1
R1 in a 15.9k
C1 a out 10n
R2 out 0 15.9k
C2 out 0 10n
.print op v(out)
.save v(out) v(a)
""",
)
_deck(
    "wheatstone_bridge",
    """
* strain gauge, 5 V excitation
Vexc exc 0 5
R1 exc p 350
R2 p 0 350.7
R3 exc n 350.7
R4 n 0 350
Cp p 0 1n
Cn n 0 1n
Cd p n 10n
.save v(p) v(n) v(p,n)
.op
""",
)
_deck(
    "voltage_divider_with_bypass",
    """
Vcc vcc 0 12
R1 vcc bias 100k
R2 bias 0 47k
C1 bias 0 10u
.save v(bias)
.tran 1m 1
""",
)
_deck(
    "lead_lag_compensator",
    """
V1 in 0 0.5 AC 1
R1 in out 10k
C1 in out 4.7n
R2 out x 1k
C2 x 0 220n
.save v(out) v(x)
""",
)
_deck(
    "rc_delay_line_lib_style",
    """
.subckt stage in out
R1 in out 1k
C1 out 0 1p
.ends stage
Vd d 0 PWL(0 0.9 1n 0.9 1.1n 0 5n 0)
X1 d n1 stage
X2 n1 n2 stage
X3 n2 n3 stage
X4 n3 n4 stage
.tran 10p 5n
.print tran v(n4) v(n1)
""",
)
_deck(
    "thermal_rc_network",
    """
* Foster model of a heat sink: K/W as ohms, J/K as farads, 1 V = 1 K
Ipow 0 j DC 10
Rth1 j a 0.12
Cth1 j a 0.01
Rth2 a b 0.5
Cth2 a b 0.3
Rth3 b amb 1.8
Cth3 b amb 25
Vamb amb 0 25
.save v(j) v(a) v(b)
""",
)

# --- with inductors -----------------------------------------------------------------------------

_deck(
    "rlc_series",
    """
V1 1 0 AC 1
R1 1 2 50
L1 2 3 10uH
C1 3 0 100pF
.ac dec 100 100k 100meg
.save v(3)
""",
)
_deck(
    "rlc_parallel_tank",
    """
I1 0 tank AC 1m SIN(0 1m 1Meg)
L1 tank 0 25.33u IC=1m
C1 tank 0 1n IC=0.5
R1 tank 0 10k
.save v(tank)
.tran 10n 20u uic
""",
)
_deck(
    "butterworth_lc_3",
    """
VG g 0 AC 2
RS g 1 50
C1 1 0 318.3p
L2 1 2 1.5915u
C3 2 0 318.3p
RL 2 0 50
.print ac vm(2) vp(2)
.save v(2) v(1)
""",
)
_deck(
    "chebyshev_lc_5",
    """
V1 s 0 dc 1 ac 1
R1 s a 75
L1 a b 2.1u
C1 b 0 390p
L2 b c 3.4u
C2 c 0 390p
L3 c d 2.1u
R2 d 0 75
C3 d 0 1p
.save v(b) v(c) v(d)
""",
)
_deck(
    "lc_bandpass_coupled",
    """
.options temp=25
V1 s 0 AC 1
RS s 1 50
C1 1 2 22p
L2 2 0 100n
C2 2 0 220p
RL2 2 0 5k
C23 2 3 3.3p
L3 3 0 100n
C3 3 0 220p
RL3 3 0 5k
C4 3 out 22p
RL out 0 50
.save v(2) v(3)
""",
)
_deck(
    "transmission_ladder",
    """
* ten lumps of 50 ohm line
.param l=25n c=10p
.subckt lump a b
L1 a m {l}
R1 m b 0.1
C1 b 0 {c}
.ends
V1 g 0 PULSE 0 1 1n 100p 100p 5n 10n
Rg g n0 50
X1 n0 n1 lump
X2 n1 n2 lump
X3 n2 n3 lump
X4 n3 n4 lump
X5 n4 n5 lump
X6 n5 n6 lump
X7 n6 n7 lump
X8 n7 n8 lump
Rt n8 0 50
.tran 10p 40n
.print tran v(n8) v(n4)
""",
)
_deck(
    "transformer_k",
    """
V1 p 0 AC 1 SIN(0 10 50)
R1 p a 1
L1 a 0 1m
L2 s 0 4m
K1 L1 L2 0.98
R2 s 0 100
C2 s 0 10n
.save v(s)
""",
)
_deck(
    "transformer_perfect_k",
    """
V1 p 0 SIN(0 1 1k)
R1 p a 50
L1 a 0 10m
L2 b 0 40m
K12 L1 L2 1
RL b 0 200
CL b 0 1n
.save v(b)
""",
)
_deck(
    "transformer_three_windings",
    """
V1 in 0 AC 1
R1 in 1 10
L1 1 0 1m
L2 2 0 1m
L3 3 0 0.25m
K1 L1 L2 0.95
K2 L2 L3 0.95
K3 L1 L3 0.9
R2 2 0 1k
R3 3 0 50
C2 2 0 1n
C3 3 0 2n
.save v(2) v(3)
""",
)
_deck(
    "parallel_inductors",
    """
I1 0 a DC 1m AC 1
L1 a 0 10u
L2 a 0 22u
R1 a 0 1k
C1 a 0 1n
.save v(a)
""",
)
_deck(
    "loop_of_inductors",
    """
L1 a b 1m
L2 b c 2m
L3 c a 3m
Ra a 0 100
Rb b 0 200
Rc c 0 300
Ca a 0 1n
Cb b 0 2n
Cc c 0 3n
.save v(a) v(b) v(c)
""",
)
_deck(
    "crystal_bvd",
    """
* 10 MHz crystal, Butterworth-Van Dyke, driven through 1 k
V1 in 0 AC 1
Rs in x 1k
C0 x 0 4p
Lm x y 10.1321m
Cm y z 25f
Rm z 0 20
.save v(x)
""",
)
_deck(
    "crystal_low_q",
    """
V1 in 0 AC 1
R1 in x 100
C0 x 0 7p
L1 x 1 3m
C1 1 2 8.44f
R1m 2 0 4k
.save v(x)
""",
)
_deck(
    "quartz_tuning_fork",
    """
V1 g 0 ac 1
Rg g q 100k
C0 q 0 1.2p
Lm q a 7.8k
Cm a b 3f
Rm b 0 60k
.save v(q)
""",
)
_deck(
    "emi_filter_common_mode",
    """
Vl l 0 SIN(0 325 50) ac 1
Rl l l1 0.1
L1 l1 lo 1m
L2 n1 no 1m
K1 L1 L2 0.995
Rn n1 0 0.1
Cx lo no 100n
Cy1 lo 0 2.2n
Cy2 no 0 2.2n
Rload lo no 100
.save v(lo) v(no) v(lo,no)
""",
)
_deck(
    "snubber",
    """
Vin sw 0 dc 48 ac 1
Lleak sw d 200n
Rlk d e 0.05
Coss e 0 300p
Rsn e s 22
Csn s 0 1n
Rbig e 0 100k
.save v(e) v(s)
""",
)
_deck(
    "ladder_rl",
    """
V1 1 0 EXP(0 1 1u 1u 10u 5u)
R1 1 2 10
L1 2 0 1m
R2 2 3 10
L2 3 0 1m
R3 3 4 10
L3 4 0 1m
R4 4 0 1k
C4 4 0 10p
.save v(4)
""",
)

# --- amplifiers and gyrators --------------------------------------------------------------------

_deck(
    "opamp_inverting_pole",
    """
.subckt opamp inp inn out
Rin inp inn 2Meg
Gm 0 x inp inn 1m
Rp x 0 100Meg
Cp x 0 159.15p
Eo o 0 x 0 1
Ro o out 75
.ends
V1 in 0 dc 0.1 ac 1
R1 in m 1k
R2 m out 10k
X1 0 m out opamp
RL out 0 10k
CL out 0 100p
.save v(out)
""",
)
_deck(
    "opamp_buffer_with_offset",
    """
Vin in 0 SIN(0.5 1 1k)
Rs in p 10k
Cin p 0 5p
E1 a 0 p out 1e5
R1 a b 1k
C1 b 0 1.59u
E2 o 0 b 0 1
Ro o out 50
CL out 0 1n
RL out 0 2k
.tran 1u 2m
.save v(out)
""",
)
_deck(
    "sallen_key_lowpass",
    """
V1 in 0 AC 1
R1 in a 10k
R2 a b 10k
C1 a out 2.2n
C2 b 0 1n
E1 o 0 b out 100k
Ro o out 10
CL out 0 100p
.ac dec 20 10 1meg
.save v(out) v(b)
""",
)
_deck(
    "mfb_bandpass",
    """
V1 in 0 1m AC 1
R1 in a 7.5k
R2 a 0 160
C1 a out 10n
C2 a m 10n
R3 m out 330k
E1 y 0 0 m 1e4
Ry y z 1k
Cz z 0 1.6n
E2 w 0 z 0 1
Ro w out 100
Co out 0 22p
.save v(out)
""",
)
_deck(
    "state_variable_filter",
    """
.subckt int in out
Rx in m 10k
Cx m out 1n
E1 out 0 0 m 1meg
.ends
V1 in 0 AC 1
R1 in s 10k
R2 s lp 10k
R3 s hp 10k
Cs s 0 2p
Eh hpo 0 r s 1e5
Rho hpo hp 10
Ch hp 0 10p
Rq1 bp r 90k
Rq2 r 0 10k
Cr r 0 1p
X1 hp bp int
X2 bp lp int
.save v(lp) v(bp)
""",
)
_deck(
    "gyrator_inductor",
    """
V1 in 0 AC 1
Rs in a 1k
G1 b 0 a 0 1m
G2 0 a b 0 1m
Cg b 0 1n
Rb b 0 100k
Ca a 0 10n
.save v(a)
""",
)
_deck(
    "gm_c_biquad",
    """
.param gm=100u
V1 in 0 ac 1
G1 0 x in y {gm}
C1 x 0 10p
R1 x 0 1meg
G2 0 y x y {gm}
C2 y 0 10p
R2 y 0 1meg
.save v(x) v(y)
""",
)
_deck(
    "cascode_small_signal",
    """
* gm 5 mS, ro 20 k each, Cgs, Cgd
Vin g 0 AC 1
Rg g g1 100
Cgs1 g1 0 100f
Cgd1 g1 d1 20f
G1 d1 0 g1 0 5m
Ro1 d1 0 20k
G2 out d1 0 d1 5m
Ro2 out d1 20k
Cgs2 d1 0 100f
Cgd2 out 0 20f
RL out 0 10k
CL out 0 50f
.save v(out) v(d1)
""",
)
_deck(
    "common_emitter_hybrid_pi",
    """
Vs s 0 SIN(0 10m 10k) AC 1
Rs s b 600
rbb b bi 100
rpi bi 0 2.5k
cpi bi 0 20p
cmu bi c 2p
gm c 0 bi 0 40m
ro c 0 100k
RC c 0 4.7k
CL c 0 10p
.save v(c)
""",
)
_deck(
    "current_mirror_linear",
    """
Iin 0 x DC 100u AC 1
G1 x 0 x 0 1m
Ro1 x 0 100k
Cx x 0 200f
G2 out 0 x 0 1m
Ro2 out vdd 100k
Vdd vdd 0 1.8
Cout out 0 1p
RL out vdd 10k
.save v(x) v(out)
""",
)
_deck(
    "mirror_with_f_source",
    """
V1 in 0 2 AC 1
R1 in a 10k
Vs a 0 0
F1 0 out Vs 3
R2 out 0 1k
C2 out 0 1n
.save v(out)
""",
)
_deck(
    "transimpedance_amp",
    """
* photodiode 10 pF, 1 meg
Ipd 0 m DC 1u AC 1
Cpd m 0 10p
Rsh m 0 1G
Rf m out 1Meg
Cf m out 0.1p
G1 0 a 0 m 1m
R1 a 0 100meg
C1 a 0 15.9p
E1 o 0 a 0 1
Ro o out 50
.save v(out)
""",
)
_deck(
    "charge_amp",
    """
Iq 0 m AC 1
Cd m 0 100p
Cf m out 1p
Rf m out 1G
E1 a 0 0 m 1e5
R1 a b 1k
C1 b 0 1.6u
E2 out 0 b 0 1
.save v(out)
""",
)
_deck(
    "differential_pair_linear",
    """
Vp p 0 dc 2.5 ac 0.5
Vn n 0 dc 2.5 ac 0.5 180
Rp p gp 50
Rn n gn 50
Cgp gp 0 1p
Cgn gn 0 1p
G1 d1 s gp s 2m
G2 d2 s gn s 2m
Rs s 0 50k
Cs s 0 0.2p
Rd1 d1 0 5k
Rd2 d2 0 5k
Cd1 d1 0 1p
Cd2 d2 0 1p
.save v(d1) v(d2) v(d1,d2)
""",
)
_deck(
    "two_stage_miller",
    """
V1 in 0 ac 1
Rin in g 1k
Cg g 0 50f
G1 a 0 g 0 100u
R1 a 0 1meg
C1 a 0 100f
Cc a z 2p
Rz z out 1k
G2 out 0 a 0 1m
R2 out 0 100k
C2 out 0 5p
.save v(a) v(out)
""",
)
_deck(
    "gain_chain_1e6",
    """
V1 in 0 AC 1
R1 in a 1k
C1 a 0 1n
E1 b 0 a 0 100
R2 b c 1k
C2 c 0 1n
E2 d 0 c 0 100
R3 d e 1k
C3 e 0 1n
E3 f 0 e 0 100
R4 f out 1k
C4 out 0 1n
.save v(out) v(a)
""",
)
_deck(
    "negative_impedance_converter",
    """
V1 in 0 AC 1
R1 in p 1k
Cp p 0 1n
Rn p 0 -2k noisy=0
.save v(p)
""",
)
_deck(
    "behavioural_sum",
    """
V1 a 0 1
V2 b 0 0.5 AC 1
B1 s 0 V=0.5*V(a)-2*V(b)
R1 s out 1k
C1 out 0 100n
B2 0 out I={1m*V(a,b)}
.save v(out)
""",
)
_deck(
    "poly_sources",
    """
V1 a 0 2
R1 a b 1k
C1 b 0 1u
E1 c 0 POLY(2) a 0 b 0 0.5 1 2
R2 c d 1k
C2 d 0 1u
G1 0 d POLY(1) b 0 0 1m
R3 d 0 500
.save v(b) v(d)
""",
)
_deck(
    "hsource_sense",
    """
V1 in 0 dc 1 ac 1
R1 in a 100
Vsense a b
R2 b 0 1k
C2 b 0 10n
H1 h 0 Vsense 1k
R3 h out 10k
C3 out 0 1n
.save v(out) v(b)
""",
)

# --- sensors, power, and the awkward ones ---------------------------------------------------------

_deck(
    "thermistor_frontend",
    """
Vref ref 0 2.5
Rser ref in 10k
Rntc in 0 12.345k tc1=-4m
Cf in 0 100n
Radc in adc 1k
Cadc adc 0 20p
.options temp=35
.save v(in) v(adc)
""",
)
_deck(
    "microphone_electret",
    """
Vb vb 0 3.3
Rb vb m 2.2k
Imic m 0 SIN(250u 10u 1k)
Cc m out 1u
Rl out 0 10k
Cl out 0 100p
.save v(out)
""",
)
_deck(
    "hydrophone_q",
    """
Isig 0 a SFFM(0 1u 10k 5 1k)
Ca a 0 2n
Ra a 0 100meg
Cc a b 100n
Rb b 0 1meg
Cb b 0 10p
.save v(b)
""",
)
_deck(
    "am_modulated_source",
    """
Vam s 0 AM(1 0.5 1k 100k)
R1 s out 1k
C1 out 0 10n
.save v(out)
""",
)
_deck(
    "exp_source_offset",
    """
V1 s 0 EXP(2 5 1u 1u 5u 2u)
R1 s out 1k
C1 out 0 1u
.save v(out)
""",
)
_deck(
    "held_output",
    """
V1 in 0 5
R1 in a 1k
C1 a 0 1u
.save v(in) v(a)
""",
)
_deck(
    "held_output_only",
    """
V1 in 0 5 ac 1
R1 in a 1k
C1 a 0 1u
.save v(in)
""",
)
_deck(
    "silent_circuit",
    """
V1 in 0 1 ac 1
R1 in a 1k noisy=0
C1 a 0 1u
.save v(a)
""",
)
_deck(
    "dc_far_above_noise",
    """
V1 in 0 1000
R1 in a 1
R2 a 0 1k
C1 a 0 1
.save v(a)
""",
)
_deck(
    "wide_resistors",
    """
R1 a 0 1e-3
C1 a 0 1u
R2 a b 1e12
C2 b 0 1p
R3 b 0 1e9
.save v(a) v(b)
""",
)
_deck(
    "slow_and_fast",
    """
R1 a 0 10meg
C1 a 0 100u
R2 a b 10
C2 b 0 1p
.save v(a) v(b)
""",
)
_deck(
    "m_factors",
    """
I1 0 a DC 1u
R1 a 0 10k m=3
C1 a 0 1n m=2
L1 a b 1m m=2
R2 b 0 50
.save v(a)
""",
)
_deck(
    "current_into_capacitor_leak",
    """
I1 0 a DC 1n AC 1 PULSE(0 1n 0 1n 1n 1 2)
C1 a 0 1n IC=1
R1 a 0 100meg
.nodeset v(a)=0.1
.save v(a)
""",
)
_deck(
    "capacitor_divider",
    """
V1 in 0 dc 1 ac 1
C1 in mid 10p
C2 mid 0 30p
R1 in out 10k
C3 out 0 1n
C4 out mid 1p
.save v(mid) v(out)
""",
)
_deck(
    "floating_nodes_behind_caps",
    """
R1 a 0 1k
C1 a 0 1n
C2 a m 1n
C3 m 0 2n
.save v(a) v(m)
""",
)
_deck(
    "two_sources_in_series",
    """
V1 a 0 1 AC 1
V2 b a 2
R1 b out 1k
C1 out 0 1u
.save v(out)
""",
)
_deck(
    "cold_resistor_mix",
    """
.temp 85
R1 a 0 1k noisy=0
R2 a b 2k
C1 a 0 1n
C2 b 0 3n
I1 0 a 1u
.save v(a) v(b)
""",
)
_deck(
    "zero_capacitor",
    """
R1 a 0 1k
C1 a 0 1n
C2 a 0 0
R2 a b 1k
C3 b 0 1p
.save v(a) v(b)
""",
)
_deck(
    "sinusoidal_with_delay_and_phase",
    """
V1 in 0 SIN(1 2 1k 0 0 30)
R1 in out 1k
C1 out 0 100n
.save v(out)
""",
)
_deck(
    "pulse_no_dc_current",
    """
I1 0 out PULSE(2m 5m 1u 1n 1n 1u 2u)
R1 out 0 1k
C1 out 0 1n
.save v(out)
""",
)
_deck(
    "pwl_starts_late",
    """
V1 in 0 PWL(1u 3 2u 5)
R1 in out 1k
C1 out 0 1n
.save v(out)
""",
)
_deck(
    "oscillator_tank_damped",
    """
* emitter-coupled tank, linearised, just below oscillation
L1 a 0 1u
C1 a 0 100p
R1 a 0 1k
G1 0 a a 0 0.9m
.save v(a)
""",
)
_deck(
    "pll_loop_filter",
    """
* phase domain: 1 V = 1 rad
Vref ref 0 AC 1
Ee e 0 ref fb 1
Gp 0 c e 0 0.1m
Rz c z 1k
Cz z 0 10n
Cp c 0 1n
Rc c 0 10meg
Gv 0 fb c 0 1m
Cv fb 0 1n
Rv fb 0 1g
.save v(c) v(fb)
""",
)
_deck(
    "buck_averaged",
    """
Vg g 0 12
Ed x 0 g 0 0.4
Rl x y 0.05
L1 y out 22u
Resr out z 10m
Cout z 0 100u
Rload out 0 2
Cout2 out 0 1u
.save v(out)
""",
)
_deck(
    "motor_electromechanical",
    """
* armature, and the rotor as a capacitor: V = rad/s, A = N m
Va a 0 12 ac 1
Ra a b 1.2
La b c 0.8m
Vi c d 0
Eb d 0 w 0 0.05
Cb b 0 1n
Ft 0 w Vi 0.05
Cj w 0 0.1m
Rf w 0 1k
.save v(w) v(b)
""",
)
