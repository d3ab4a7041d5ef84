nested definitions, parameters seen through calls, shadowed names
.param r0=1k
.global vref
vref vref 0 dc 1 ac 0.0
vin in 0 dc 0 ac 1
xtop in out outer scale=2
xtwo out far outer r0=3k
rload far 0 5k
cload far 0 1n
.subckt outer p q scale=1 r0={r0}
  .param c0 = '10n/scale'
  .subckt inner a b k=1
  r1 a b {r0*k}
  xc b leaf cc={c0*k}
  .ends inner
  .subckt leaf n cc=1n
  c1 n 0 {cc}
  r2 n vref {100k*scale}
  .ends leaf
  x1 p m inner
  x2 m q inner k={scale+0.5}
.ends outer
.save v(out) v(far) v(xtop.m) v(out,far)
.ac dec 10 1 1meg
.end
