#!/usr/bin/env bash
# DeNet-34 of "DeNet: Scalable Real-time Object Detection with Directed Sparse Sampling".
#
#     [RESNET=resnet34.mdl] bash papers/dss/denet34.sh VARIANT DATA DIR [options of model-train]
#
# VARIANT is std, skip or wide; DATA is voc2007, voc2012 (DIR: VOCdevkit) or mscoco. See README.md.
# The scripts of 2017 write C for convolutions of skip and wide: it had no bias then, so C.B now.
depth=34 batch=32 step=64 trunk= inserts=
one='nRSN.O[3,64,3]' two='nRSN.O[4,128,3,2]' three='nRSN.O[6,256,3,2]' four='nRSN.O[3,512,3,2]'
head='C.B[1536] BNA C.B[1024] BNA C.B[768] BNA C.B[512] BNA DND[0.5,1,1]'
case ${1:-} in
std)
    trunk="$one $two $three $four"
    behind='PI[2] C.B[256,3] BNA PI[2] C.B[128,3] BNA DNC[96,100] DNS[7,24,0.01,0.1]'
    ;;
skip)
    trunk="$one $two SKIPSRC.X[0] $three SKIPSRC.X[1] $four"
    inserts='11:SKIPSRC.X[0] 18:SKIPSRC.X[1]'
    behind='PI[2] C.B[256,3] SKIP[1] BNA PI[2] C.B[128,3] SKIP[0] BNA
            DNC[96,100] DNS[7,24,0.01,0.1]'
    ;;
wide)
    step=128
    trunk="$one SKIPSRC[0] $two SKIPSRC.X[1] $three SKIPSRC.X[2] $four"
    inserts='7:SKIPSRC[0] 12:SKIPSRC.X[1] 19:SKIPSRC.X[2]'
    behind='PI[2] C.B[256,3] SKIP[2] BNA PI[2] C.B[128,3] SKIP[1] BNA PI[2] C.B[64,3] SKIP[0] BNA
            SPLIT DNC[48,400] DNS[10,48,0.01,0.1]'
    ;;
esac
. "$(dirname "$0")/denet.sh"
