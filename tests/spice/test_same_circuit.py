"""What `spu` reads and what ``ngspice -b`` reads are the same circuit, or `spu` refuses with the line.

`SAME` and `REFUSED` are the list of the constructs on which the two could part. Every deck of `SAME` goes through both
as it lies on disk: operating point, transfer functions and noise must agree. Every deck of `REFUSED` is one that
ngspice reads in a way that a designer, or another simulator, would not expect, or in a way that is not worth
following. `benchmarks/readers.py` changes decks at random for more of them.
"""

import importlib.util
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import spu
from spu.base.errors import SpuError
from spu.cli import cli

ROOT = Path(__file__).parents[2]
_spec = importlib.util.spec_from_file_location("readers", ROOT / "benchmarks" / "readers.py")
readers = sys.modules["readers"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(readers)

HEAD = f"a title\n{readers.ANALYSES}v1 in 0 dc 1 ac 1\nr1 in out 1k\nc1 out 0 1n\nr2 out 0 3k\n"
FILES = {
    "a.inc": "r9 out 0 1k\n",
    "end.inc": "r9 out 0 1k\n.end\n* no more\n",
    "more.inc": "r8 out 0 2k\n.end\nr9 out 0 1k\n",
    "plus.inc": "r9 out 0\n+ 1k\n",
    "a.lib": ".lib one\nr9 out 0 1k\n.endl\n.lib two\nr9 out 0 2k\n.endl two\n",
    "more.lib": ".lib one\nr9 out 0 1k\n.end\nr8 out 0 1k\n.endl\n",
}

BODY = HEAD.partition("\n")[2]
RETURNS = (HEAD + ".end\n").replace("\n", "\r")

SAME = {
    "nothing behind .end": HEAD + ".end\n\n   \n* a comment\n; another\n$ one more\n// the last\n",
    ".end with words behind it": HEAD + ".end of the deck\n",
    ".end that is no more than a name": HEAD + "r9 .end 0 1k\nr8 .end out 1k\n.end\n",
    ".END": HEAD + ".END\n",
    "no .end": HEAD + "r9 out 0 1k",
    "comments of a line": HEAD
    + "* r9 out 0 1\n  * r9 out 0 1\n$ r9 out 0 1\n$r9 out 0 1\n; r9 out 0 1\n// r9 out 0 1\n",
    "comments behind a line": HEAD + "r9 out 0 1k ; 2k\nr8 out 0 1k;2k\nr7 out 0 1k // 2k\nr6 out 0 1k//2k\n"
    "r5 out 0 1k $ 2k\nr4 out 0 1k $2k\nr3 out 0 1k\t$2k\n",
    "a dollar in a name": HEAD + "r9 out n$x 1k\nr8 n$x 0 1k\n",
    "a sharp in a name": HEAD + "r9 out n# 1k\nr#8 n# 0 1k\n",
    "continuations": HEAD + "r9 out 0\n+ 1k\nr8 out\n\n* between\n  $ them\n+0 ; here\n\t+ 2k\n+\n+ m=2\n.op\n+\n",
    "line ends": HEAD + "r9 out 0 1k\r\nr8 out 0 2k\r\r\n.end\r\n",
    "blanks and tabs": HEAD + "  r9\tout  0\t1k  \n\t\n  .end\n",
    "upper case": HEAD + "R9 OUT 0 1K TC1=0\n.OPTIONS TEMP=50\n.END\n",
    "letters in comments": HEAD + "* \xe4\xf6\xfc \u2028 \x85 \xa0\nr9 out 0 1k ; \xe4\n",
    "the micro sign": HEAD + "c9 out 0 1\xb5\n",
    "a byte order mark": "\ufeff" + HEAD + ".end\n",
    "a blank title": "\n" + BODY + ".end\n",
    "a title that looks like an element": "r9 out 0 1\n" + BODY,
    "a title with quotes and braces": "it's {a title\n" + BODY,
    "a title as KiCad writes it": ".title KiCad schematic\n" + BODY,
    "a long line": HEAD + "r9 out 0 " + " " * 6000 + "1k\n* " + "x" * 70_000 + "\n",
    "an include": HEAD + ".include a.inc\n",
    "an include in quotes": HEAD + ".INC 'a.inc'\n",
    "an include that ends": HEAD + ".include end.inc\nr8 out 0 5k\n",
    "an include that continues": HEAD + ".include plus.inc\n",
    "a section": HEAD + ".lib 'a.lib' TWO\n",
    "a control block that prints": HEAD + ".control\nset noaskquit\nlet x = 1\nprint x ; .endc\n.endc\n",
    "suffixes": HEAD + "v10 p10 0 1meg\nr10 p10 0 1k\nv11 p11 0 1MEG\nr11 p11 0 1k\nv12 p12 0 1M\n"
    "r12 p12 0 1k\nv13 p13 0 1m\nr13 p13 0 1k\nv14 p14 0 1k\nr14 p14 0 1k\n"
    "v15 p15 0 1K\nr15 p15 0 1k\nv16 p16 0 1u\nr16 p16 0 1k\nv17 p17 0 1n\n"
    "r17 p17 0 1k\nv18 p18 0 1p\nr18 p18 0 1k\nv19 p19 0 1f\nr19 p19 0 1k\n"
    "v20 p20 0 1F\nr20 p20 0 1k\nv21 p21 0 1t\nr21 p21 0 1k\nv22 p22 0 1g\n"
    "r22 p22 0 1k\nv23 p23 0 1kohm\nr23 p23 0 1k\nv24 p24 0 1mV\nr24 p24 0 1k\n"
    "v25 p25 0 1V\nr25 p25 0 1k\nv26 p26 0 1uF\nr26 p26 0 1k\nv27 p27 0 1e3\n"
    "r27 p27 0 1k\nv28 p28 0 1e+3\nr28 p28 0 1k\nv29 p29 0 1e-3k\nr29 p29 0 1k\n"
    "v30 p30 0 1e3k\nr30 p30 0 1k\nv31 p31 0 .5\nr31 p31 0 1k\nv32 p32 0 5.\n"
    "r32 p32 0 1k\nv33 p33 0 -2\nr33 p33 0 1k\nv34 p34 0 +2\nr34 p34 0 1k\n",
    "numbers in braces and quotes": HEAD + "r9 out 0 {2*1k}\nr8 out 0 '2*1k'\nr7 out 0 r = {1k}\nr6 out 0 r='1k+1k'\n",
    "1f in an expression": HEAD + ".param x={1f*1e18} y=.5k\nr9 out 0 {x}\nr8 out 0 {y}\n",
    "parameters in any order": HEAD + ".param x={y*2} y={z*2}\n.param z = 100\nr9 out 0 {x}\n",
    "parameters without braces": HEAD + ".param x=2*1k y='x+1' z=(1+2)*1k\nr9 out 0 {x}\nr8 out 0 {y}\nr7 out 0 {z}\n",
    "a bare name for a value": HEAD
    + ".param x=1k y=2\nr9 out 0 x\nr8 out 0 r=x m=y\nr7 out 0 {x} tc1=0\nv9 n9 0 y\nr6 n9 0 x\n",
    "names of other things": HEAD + ".param out=1k v=2 i=3 r9=4 k=5 e=6 c=7 pi=3 and=2 m=2\nr9 out 0 {out}\n"
    "r8 out 0 {v*i*r9*k*e*c*pi*and*m}\n",
    "functions": HEAD + ".func f(p,q) {p+q*2}\n.func g(p) 'f(p,1)*x'\n.param x=500\nr9 out 0 {g(2)}\n"
    "r8 out 0 {f(1k,f(1,2))}\n",
    "a function's own argument": HEAD + ".func f(x) {x*2}\n.param x=5\nr9 out 0 {f(x*100)}\nr8 out 0 {f(-x+100)}\n",
    "signs and powers": HEAD + ".param a={-2^2+5} b={2^3^2} c={2**-1} d={10-3-2} e={100/10/2} x=3 f={-x*2+7}\n"
    "r9 out 0 {(a+b+c+d+e+f)*10}\n",
    "choices": HEAD + ".param x=3 a={x>2?1:2} b={x>4 ? 1 : x>3 ? 2 : 5} c={ternary_fcn(x>2,7,8)} d={!x+2&&1}\n"
    "r9 out 0 {(a+b+c+d)*100}\n",
    "jumps": HEAD + ".param x={int(-2.7)+nint(2.5)+nint(3.5)+floor(-2.5)+ceil(2.2)+sgn(-3)+20}\nr9 out 0 {x*100}\n",
    "logarithms and friends": HEAD
    + ".param x={ln(10)+log(10)+log10(100)+sqrt(4)+abs(-2)+pow(-2,3)+pwr(2,0.5)+min(1,2)+max(1,2)+20}\n"
    "r9 out 0 {(x+atan(1)+arctan(1))*100}\n",
    "defaults and arguments": HEAD + ".subckt s a p=1k q={p*2}\nr1 a 0 {p}\nr2 a 0 {q}\n.ends s\nx1 out s\n"
    "X2 OUT S P=2K\nx3 out s params: p={2k} q=3k\n",
    "the caller's parameters": HEAD + ".param p=5k\n.subckt s a p=1k\nr1 a 0 {p}\n.ends\n.subckt t a p=2k\n"
    "x1 a s p={2*p}\nx2 a s\n.ends\nx1 out t\nx2 out t p=p\n",
    "definitions within definitions": HEAD
    + ".subckt t a\n.subckt s a\nr1 a 0 1k\n.ends\nx1 a s\n.ends\n.subckt s a\nr1 a 0 2k\n"
    ".ends\nx1 out t\nx2 out s\n",
    "defined behind their use": HEAD + "x1 out t\n.subckt t a\nx1 a s\n.ends\n.subckt s a\nr1 a 0 1k\n.ends\n",
    "nodes of their own": HEAD + ".subckt s a\nr1 a out 1k\nr2 out 0 1k\n.ends\nx1 out s\n",
    "global nodes": HEAD + ".subckt s a\nr1 a vdd 1k\n.ends\n.global vdd\nx1 out s\nv2 vdd 0 2\n",
    "a port that is called as a parameter": HEAD + ".subckt s p q=1k\nr1 p 0 {q}\n.ends\n.param p=3\nx1 out s\n",
    "models of their own": HEAD + ".model rm r tc1=1\n.subckt s a\n.model rm r tc1=2\nr1 a 0 1k rm\n.ends\n"
    ".options temp=30\nx1 out s\nr9 out 0 5k rm\n",
    "functions of their own": HEAD + ".func f(x) {3*x}\n.subckt s a\n.func f(x) {2*x}\nr1 a 0 {f(1k)}\n.ends\n"
    "x1 out s\nr9 out 0 {f(1k)}\n",
    "names of ground": HEAD + "r9 out gnd 1k\nr8 out GND 1k\nr7 out Gnd 1k\nr6 out gnd! 1k\nr5 gnd! 0 1k\n",
    "nodes that look like ground": HEAD
    + "r9 out 00 1k\nr8 00 in 3k\nr7 out +0 1k\nr6 +0 in 3k\nr5 out 0.0 1k\nr4 0.0 in 3k\n",
    "nodes in parentheses": HEAD
    + "r9 (out 0) 1k\nc9 (out,0) 1n\ne9 (n9 0) (out 0) 2\nr8 n9 out 3k\ng9 (n8,0) (out,0) 1m\nr7 (n8, out) 5k\n"
    "b9 (n7 0) v=2*v(out)\nr6 n7 out 2k\nv9 (n6 0) 1\nr5 (n6 out) 7k\n",
    "nodes of a subcircuit in parentheses": HEAD + ".subckt s (a b)\nr1 a b 1k\n.ends\nx1 (out 0) s\nx2 out in s\n",
    "options by their beginning": HEAD + ".opt temp=50 nopage\n.opts tnom=20\nr9 out 0 1k tc1=0.1\n",
    "odd nodes": HEAD + "r9 out n+ 1k\nr8 n+ 0 1k\nr7 out n[1] 1k\nr6 n[1] 0 1k\nr5 out n.1 1k\nr4 n.1 0 1k\n",
    "m of R, L and C": HEAD + "r9 out 0 1k m=2\nc9 out 0 1n m=0.5\nl9 out n9 1m m=3\nr0 n9 0 1k",
    "temperatures": HEAD + "r9 out 0 1k tc1=0.01 tc2=0.001\nc9 out 0 1n tc1=0.1\nl9 out n9 1m tc1=0.1\n"
    ".options temp=40 tnom=20\nr0 n9 0 1k",
    ".temp": HEAD + ".param q=50\n.temp {q}\nr9 out 0 1k tc1=0.01\n",
    "dtemp": HEAD + "r9 out 0 1k dtemp=50 tc1=0.01\nr8 out 0 2k dtemp=-100\n"
    "r7 out 0 3k dtemp=9 noisy=0 tc1=0.1\nc9 out 0 1n tc1=0.1 dtemp=5\n"
    "l9 out n9 1m dtemp=5 tc1=0.1\n.options temp=30\nr0 n9 0 1k",
    "dtemp in a subcircuit": HEAD + ".subckt s a d=0\nr1 a 0 1k dtemp={d} m=2\n.ends\nx1 out s\nx2 out s d=80\n",
    "models": HEAD + ".model rm r(tc1=0.01 tc2={1/1000} tnom=10)\n.temp 40\nr9 out 0 1k rm\n"
    "r8 out 0 rm 2k\nr7 out 0 rm r=3k tc1=0.02\n",
    "silent": HEAD + "r9 out 0 1k noisy=0\nr8 out 0 -9k noisy=0\n",
    "initial values": HEAD + "c9 out 0 1n ic=1\n.ic v(out)=3\n.nodeset v(out)=2\n",
    "constants of sources": HEAD + "v9 a 0 dc 2\nv8 b 0 dc=3\nv7 c 0 -4\ni6 0 d {1m*2}\nr9 a 0 1\nr8 b 0 1\nr7 c 0 1\n"
    "r6 d 0 1k\n",
    "controlled sources": HEAD + "e9 a 0 out 0 2\ng9 0 b (in,out) 1m m=2\nf9 c 0 v1 2\nh9 d 0 v1 2k\n"
    "e8 f 0 in 0 gain=3\nr9 a 0 1k\nr8 b 0 1k\nr7 c 0 1k\nr6 d 0 1k\nr5 f 0 1k\n",
    "polynomials": HEAD + "e9 a 0 poly(2) out 0 in 0 0.5 2 -1\ng9 0 b poly(1) (out,0) 0 1m\n"
    "f9 c 0 poly(1) v1 1m 2\nh9 d 0 poly(1) v1 1 2k\nr9 a 0 1k\nr8 b 0 1k\n"
    "r7 c 0 1k\nr6 d 0 1k\n",
    "behavioural sources": HEAD + "b9 a 0 v=2*v(in)-v(out,in)/3+1\nb8 0 b i={v(out)/1k}\n"
    "b7 c 0 v={x}*v(out)+i(v1)*1k\n.param x=-2\ne6 d 0 value={v(a)*2}\n"
    "g5 0 f cur='v(in)*1m' m=2\nr9 a 0 1k\nr8 b 0 1k\nr7 c 0 1k\nr6 d 0 1k\n"
    "r5 f 0 1k\n",
    "couplings": HEAD + "l1 out 0 1m\nl2 n9 0 2m\nl3 n8 0 3m\nk1 l1 l2 {0.5}\nk2 l1 l3 -0.3\nr8 n8 0 1k\nr0 n9 0 1k",
    "a node that we would call so, too": HEAD
    + "r8 mid_v1 0 1k\nr7 mid_v1 out 1k\nb9 n9 0 v=v(in)+v(out)\nr6 mid_b9_1 0 1k\n"
    "r5 mid_b9_1 out 1k\nr0 n9 0 1k",
    "options": HEAD + ".options noacct reltol=1e-4 method=gear gmin=1e-9 temp=50 list\nr9 out 0 1k tc1=0.01\n",
    "output": HEAD + ".save all\n.print ac vdb(out)\n.meas ac x max v(out)\n.width out=80\n.csparam q=3\n",
}

REFUSED = {
    "an element behind .end": (HEAD + ".end\nr9 out 0 1k\n", r":10: stands after \.end \(line 9\)"),
    "an element behind .END": (HEAD + ".END ; it is\n\n* x\nr9 out 0 1k\n", r":12: stands after \.end"),
    "a continuation behind .end": (HEAD + ".end\n+ m=2\n", r"stands after \.end"),
    "a second .end": (HEAD + ".end\n.end\n", r"stands after \.end"),
    "a second deck": (HEAD + ".end\nsecond deck\nr1 a 0 1\n.end\n", r"stands after \.end"),
    "a control block behind .end": (HEAD + ".end\n.control\nalter r2 1\nop\n.endc\n", r"stands after \.end"),
    "a harmless control block behind .end": (HEAD + ".end\n.control\nop\n.endc\n", r"stands after \.end"),
    "an include behind .end": (HEAD + ".end\n.include a.inc\n", r"stands after \.end"),
    "an include that goes on": (HEAD + ".include more.inc\n", r"more\.inc:3: stands after \.end"),
    "a section that goes on": (HEAD + ".lib more.lib one\n", r"more\.lib:4: stands after \.end"),
    "a sharp for a comment": (HEAD + "# r9 out 0 1k\n", "a comment begins with"),
    "a dollar that is none": (HEAD + "r9 out 0 1k$ 2k\n", "no number|is not a number|read differently"),
    "a line that ends the file": (HEAD + "@ x\nr9 out 0 1k\n", "begins with @"),
    "the same in a control block": (HEAD + ".control\n@ x\n.endc\nr9 out 0 1k\n", "begins with @"),
    "backslashes": (HEAD + ".op \\\\\nr9 out 0 1k\n", "two backslashes"),
    "backslashes behind a comment": (HEAD + "; comment \\\\ \nr9 out 0 1k\n", "two backslashes"),
    "backslashes behind the title": ("a title \\\\\nr9 out 0 1k\n" + BODY, "two backslashes"),
    "a return in a comment": (HEAD + "* x\rr9 out 0 1k\n", "carriage return within"),
    "a return in the title": ("a title\rr9 out 0 1k\n" + BODY, "carriage return within"),
    "returns for line ends": (RETURNS, "carriage return within"),
    "a continuation behind a semicolon": (HEAD + "r9 out 0 1k\n; x\n+ m=2\n", "continuation behind line 10"),
    "a continuation behind .title": (HEAD + "r9 out 0 1k\n.title x\n+ m=2\n", "continuation behind line 10"),
    "a title that is a line": (".param x=1\n" + BODY, "first line is the title"),
    "a title that is a block": (".control\n" + BODY, "first line is the title"),
    "a title that ends the file": ("@ title\n" + BODY, "begins with @"),
    "a title that is cut": ("x" * 5000 + "\n" + BODY, "title is longer"),
    "a .title that is a script": (HEAD + ".title *ng_script\n", "title is a command"),
    "a Greek mu": (HEAD + "c9 out 0 1\u03bc\n", r"U\+03BC"),
    "a form feed": (HEAD + "\x0cr9 out 0 1k\n", r"U\+000C"),
    "a NUL": (HEAD + "* \x00\n", "NUL"),
    "an end of file of old": (HEAD + "\x1a\n", r"U\+001A"),
    "a choice of lines": (HEAD + ".if (0)\nr9 out 0 1k\n.endif\n", r"\.if is not taken"),
    ".endc alone": (HEAD + ".endc\n", r"\.endc is not taken"),
    ".macro": (HEAD + ".macro s a\nr1 a 0 1k\n.eom\nx1 out s\n", r"\.macro is not taken"),
    "an option taken back in a block": (HEAD + ".control\nunset temp\n.endc\n", "unset changes the circuit"),
    "a command behind *# in a block": (HEAD + ".control\n*# alter r2 1\n.endc\n", "alter changes the circuit"),
    "a command of a block, continued": (HEAD + ".control\nset x\n* y\n+ temp=300\n.endc\n", "set changes the circuit"),
    "another, to a file": (HEAD + ".control\necho x\n+ > y\n.endc\n", "> writes a file"),
    "an option set in a block": (HEAD + ".control\nset rshunt=1k\n.endc\n", "set changes the circuit"),
    "an expression without braces": (HEAD + "r9 out 0 10k-5\n", "r9: '10k-5' is not a number.*in braces"),
    "the same of a setting": (HEAD + "r9 out 0 r=2+3\n", "in braces"),
    "the same of a capacitor": (HEAD + "c9 out 0 5-3\n", "in braces"),
    "the same of a model": (HEAD + ".model rm r(tc1=1/100)\nr9 out 0 1k rm\n", "in braces"),
    "the same of a temperature": (HEAD + ".options temp=2*3\n", "in braces"),
    "a name for a temperature": (HEAD + ".param q=50\n.options temp=q\n", "is not a number"),
    "options in parentheses": (HEAD + ".options (temp=50)\n", "without parentheses"),
    "a mil": (HEAD + "r9 out 0 1mil\n", "mil"),
    "4k7": (HEAD + "r9 out 0 4k7\n", "4k7"),
    "an ampere or an atto": (HEAD + "i9 out 0 1A\n", "1a"),
    "1d3": (HEAD + "r9 out 0 1d3\n", "differently"),
    "1_000": (HEAD + "r9 out 0 1_000\n", "differently"),
    "1,5": (HEAD + "r9 out 0 1,5\n", "not understood"),
    "a sign behind an operator": (HEAD + ".param x=3\nr9 out 0 {(2*-x+10)*1k}\n", "sign behind an operator"),
    "a sign in a choice": (HEAD + ".param x=3\nr9 out 0 {(1?-x+5:3)*1k}\n", "sign behind an operator"),
    "a sign in a power": (HEAD + ".param x=3\nr9 out 0 {(2^-x+1)*1k}\n", "sign behind an operator"),
    "a sign before a power": (HEAD + "r9 out 0 {(20+2*-3^2)*1k}\n", "sign behind an operator"),
    "signs in a row": (HEAD + "r9 out 0 {--2^3}\n", "signs in a row"),
    "a comparison of a comparison": (HEAD + ".param x=3\nr9 out 0 {(x==3<2)*1k+1k}\n", "comparison of a comparison"),
    "a choice within a choice": (HEAD + "r9 out 0 {(1?0?2:3:4)*1k}\n", "choice between"),
    "a negative base": (HEAD + "r9 out 0 {(10+(-2)^3)*1k}\n", "negative number under"),
    "a negative base in a source": (HEAD + "b9 n9 0 v=pow(-2,3)*v(out)\nr0 n9 0 1k", "pow of a negative number"),
    "equal to the last bit": (HEAD + ".param x={0.1+0.2}\nr9 out 0 {x==0.3?1k:2k}\n", "last bit"),
    "equal in a source": (HEAD + ".param x=3\nb9 n9 0 v={(x>=3)*v(out)}\nr0 n9 0 1k", "last bit"),
    "temper": (HEAD + "r9 out 0 {temper*1k}\n", "temper"),
    "a parameter called temper": (HEAD + ".param temper=3\nr9 out 0 1k\n", "temper has a meaning"),
    "a parameter called as a function": (HEAD + ".param sqrt=3\nr9 out 0 {sqrt*1k}\n", "sqrt has a meaning"),
    "a parameter twice": (HEAD + ".param x=1k\n.param x=2k\nr9 out 0 {x}\n", "x is set twice"),
    "random numbers": (HEAD + "r9 out 0 {agauss(1k,1,1)}\n", "random"),
    "an argument with a blank": (HEAD + ".subckt s a p=1\nr1 a 0 {p*1k}\n.ends\nx1 out s p=2 +5\n", "in braces"),
    "a subcircuit twice": (
        HEAD + ".subckt s a\nr1 a 0 1k\n.ends\n.subckt s a\nr1 a 0 2k\n.ends\nx1 out s\n",
        "defined twice",
    ),
    "m of a subcircuit": (HEAD + ".subckt s a\nr1 a 0 1k\n.ends\nx1 out s m=2\n", "no parameter m"),
    "a port that is ground": (HEAD + ".subckt s a gnd\nr1 a gnd 1k\n.ends\nx1 out in s\n", "differ from one another"),
    "a port that is global": (
        HEAD + ".subckt s vdd\nr1 vdd 0 1k\n.ends\n.global vdd\nx1 out s\nv2 vdd 0 2\n",
        r"of \.global",
    ),
    "an end of another": (HEAD + ".subckt s a\nr1 a 0 1k\n.ends t\nx1 out s\n", r"\.ends t where s"),
    "a node within, written without": (
        HEAD + ".subckt s a\nr1 a b 1k\nr2 b 0 1k\n.ends\nx1 out s\nr9 x1.b 0 1k\n",
        "is two",
    ),
    "an element twice": (HEAD + "r9 out 0 1k\nr8 out 0 1k\nr9 out 0 2k\n", "there twice"),
    "a model twice": (HEAD + ".model rm r(tc1=1)\n.model rm r(tc1=2)\nr9 out 0 1k rm\n", "defined twice"),
    "a temperature of its own": (HEAD + "r9 out 0 1k temp=50\n", "temp= is not understood"),
    "another resistance in .ac": (HEAD + "r9 out 0 1k ac=2k\n", "ac= is not understood"),
    "scale": (HEAD + "r9 out 0 1k scale=2\n", "scale= is not understood"),
    "tc of two": (HEAD + "r9 out 0 1k tc=0.1\n.temp 30\n", "tc= is not understood"),
    "no resistance": (HEAD + "r9 out 0 0\n", "no resistance"),
    "a comma behind a gain": (HEAD + "g9 0 n9 out 0 {1m},\nr0 n9 0 1k", "not understood"),
    "! before a power": (HEAD + ".param y=-1\nr9 out 0 {((2>1)>=!7**y)*1k+1k}\n", "! before a power"),
    "signed exponents": (HEAD + "b9 n9 0 v={.25^-0.5^1.5*v(out)}\nr0 n9 0 1k", "signed exponent"),
    "one coefficient": (HEAD + "e9 n9 0 poly(1) out 0 2\nr0 n9 0 1k", "one coefficient"),
    "coupled and several": (HEAD + "l1 out 0 1m m=2\nl2 n9 0 1m\nk1 l1 l2 0.5\nr0 n9 0 1k", "has m="),
    "a node within a source": (HEAD + "e9 n9 0 value={v(out)*2}\nr8 e9_int1 0 1k\nr0 n9 0 1k", "nodes e9_int1"),
    "too cold": (HEAD + "r9 out 0 1k dtemp=-400\n", "absolute zero"),
    "an option that adds resistors": (HEAD + ".options rshunt=1k\n", "rshunt changes"),
    "an option that changes syntax": (HEAD + ".options ngbehavior=1\n", "ngbehavior changes"),
    "a code model": (HEAD + "a1 out n9 m\n.model m gain(gain=2)\nr0 n9 0 1k", "code models"),
    "a switch": (HEAD + "s1 out 0 in 0 sm\n.model sm sw\n", "only ngspice"),
    "time": (HEAD + "b9 n9 0 v=v(out)*time\nr0 n9 0 1k", "depends on time"),
}


def written(folder, text):
    """The deck on disk, includes beside it."""
    for name, content in FILES.items():
        (folder / name).write_text(content)
    deck = folder / "deck.cir"
    deck.write_bytes(text.encode())
    return deck


@pytest.mark.parametrize("name", SAME)
def test_both_read_the_same_circuit(name, tmp_path):
    deck = written(tmp_path, SAME[name])
    ours, theirs = readers.by_us(deck), readers.by_ngspice(deck)
    assert not ours.refused and not theirs.refused, (ours.refused, theirs.refused)
    assert theirs.ac and theirs.noise is not None
    assert readers.differences(ours, theirs) == []


@pytest.mark.parametrize("name", REFUSED)
def test_what_they_would_read_differently_is_refused(name, tmp_path):
    text, message = REFUSED[name]
    deck = written(tmp_path, text)
    with pytest.raises(SpuError, match=message) as caught:
        spu.read_netlist(deck, probes=["out"])
    assert caught.value.file is not None and caught.value.line is not None
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "name", ["an element behind .end", "backslashes", "a return in a comment", "an include that goes on"]
)
def test_what_is_refused_was_another_circuit(name, tmp_path):
    """These are no pedantry: ngspice's circuit is not the one that is read without a look at the line."""
    deck = written(tmp_path, REFUSED[name][0])
    theirs = readers.by_ngspice(deck)
    naive = {"an include that goes on": "r8 out 0 2k\n", "an element behind .end": ""}
    deck = written(tmp_path, HEAD + naive.get(name, "r9 out 0 1k\n"))
    assert readers.differences(readers.by_us(deck), theirs)


def test_random_changes(tmp_path):
    """Fixed decks, not drawn anew: what the two read, they read alike (`benchmarks/readers.py` runs thousands)."""
    kinds = []
    for seed in range(120):
        found = readers.compare(seed)
        assert found.kind != "differ", f"deck {seed}: {found.why}\n{found.text}"
        kinds.append(found.kind)
    assert kinds.count("alike") > 15


def test_the_comparison_sees_a_change(tmp_path):
    ours = readers.by_us(written(tmp_path, HEAD + "r9 out 0 1meg\n"))
    for change in ("r9 out 0 1.1meg", "r9 out 0 1meg\nc9 out 0 1p", "r9 out 0 1meg noisy=0\nr8 out 0 1e9"):
        theirs = readers.by_ngspice(written(tmp_path, f"{HEAD}{change}\n"))
        assert readers.differences(ours, theirs), change


def test_text_behind_the_end_of_a_compiled_netlist(tmp_path):
    """As ``echo "c9 cell_x1 0 1n" >> DIR/device.cir``, which halves a variance: no level passes, import refuses."""

    def invoke(*words):
        return CliRunner().invoke(cli, [str(word) for word in words])

    made = tmp_path / "made"
    (tmp_path / "matrix.csv").write_text("2,-0.5\n-0.5,1\n")
    assert invoke("compile", tmp_path / "matrix.csv", "-o", made).exit_code == 0
    deck = made / "device.cir"
    text = deck.read_text()
    for more in ("c9 cell_x1 0 1n\n", ".control\nalter c1 = 2n\n.endc\n", "+ 1\n"):
        deck.write_text(text + more)
        found = json.loads(invoke("check", made, "--level", "ac", "--level", "op", "--json").output)
        assert found["verdict"] == "error"
        for level in found["levels"].values():
            assert re.search(r"device\.cir:\d+: stands after \.end", level["message"]), level
        refused = invoke("import", deck, "-o", tmp_path / "copied", "--json")
        assert refused.exit_code == 2 and "stands after .end" in json.loads(refused.output)["error"]["message"]
        assert not (tmp_path / "copied").exists()
        edited = invoke("check", made, "--netlist", deck, "--json")
        assert edited.exit_code == 2 and "stands after .end" in json.loads(edited.output)["error"]["message"]
    deck.write_text(text + "* a note\n\n")
    assert json.loads(invoke("check", made, "--level", "ac", "--json").output)["verdict"] == "pass"


def test_a_check_runs_what_lies_there(tmp_path):
    """The lines that a check gives to ngspice, as an imported folder holds them, are the deck's circuit still."""
    for name in ("comments behind a line", "definitions within definitions", "dtemp", "behavioural sources"):
        deck = written(tmp_path, SAME[name])
        read = spu.read_netlist(deck, probes=["out"])
        (tmp_path / "again.cir").write_text(read.text)
        theirs = readers.by_ngspice(deck)
        again = readers.by_us(tmp_path / "again.cir")
        assert not again.refused
        assert readers.differences(again, theirs) == []
        assert np.isfinite(again.noise).all()
