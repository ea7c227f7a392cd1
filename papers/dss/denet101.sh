#!/usr/bin/env bash
# DeNet-101 of "DeNet: Scalable Real-time Object Detection with Directed Sparse Sampling".
#
#     [RESNET=resnet101.mdl] bash papers/dss/denet101.sh VARIANT DATA DIR [options of model-train]
#
# VARIANT is std, skip or wide; DATA is voc2007, voc2012 (DIR: VOCdevkit) or mscoco. See README.md.
# The scripts of 2017 write C for convolutions of skip and wide: it had no bias then, so C.B now.
depth=101 batch=32 step=128 trunk= inserts=
one='nRSN.O[3,256,3,1,64]' two='nRSN.O[4,512,3,2,128]'
three='nRSN.O[23,1024,3,2,256]' four='nRSN.O[3,2048,3,2,512]'
head='C.B[2048] BNA C.B[1536] BNA C.B[1024] BNA C.B[768] BNA DND[0.5,1,1]'
case ${1:-} in
std)
    trunk="$one $two $three $four"
    behind='PI[2] C.B[384,3] BNA PI[2] C.B[192,3] BNA DNC[128,50] DNS[7,24,0.01,0.1]'
    ;;
skip)
    # The script of 2017 has 18, as that of ResNet-34: behind 6 of the 23 blocks of the third stage.
    # Its end, where all other taps are, is 35.
    trunk="$one $two SKIPSRC.X[0] $three SKIPSRC.X[1] $four"
    inserts='11:SKIPSRC.X[0] 35:SKIPSRC.X[1]'
    behind='PI[2] C.B[384,3] SKIP[1] BNA PI[2] C.B[192,3] SKIP[0] BNA
            DNC[128,50] DNS[7,24,0.01,0.1]'
    ;;
wide)
    batch=16 step=64
    three='nRSN.O[11,1024,3,2,256] SPLIT nRSN.O[12,1024,3,1,256]'
    trunk="$one SKIPSRC[0] $two SKIPSRC.X[1] $three SKIPSRC.X[2] $four"
    inserts='7:SKIPSRC[0] 12:SKIPSRC.X[1] 24:SPLIT 37:SKIPSRC.X[2]'
    behind='PI[2] C.B[1024,3] SKIP[2] BNA PI[2] C.B[512,3] SKIP[1] BNA PI[2] C.B[256,3] SKIP[0] BNA
            SPLIT DNC[128,200] DNS[7,48,0.01,0.1]'
    ;;
esac
. "$(dirname "$0")/denet.sh"
