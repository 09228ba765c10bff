package main

import _ "embed"

// demoClip is what publish --demo sends in a loop: five seconds of a moving test picture in VP8 and a chord that is broken into its
// tones, in Opus. Sound and picture are equally long, so that rounds follow each other without a gap.
//
//go:generate ffmpeg -v error -f lavfi -i testsrc2=size=480x270:rate=20 -f lavfi -i "aevalsrc=exprs='0.25*sin(2*PI*t*220*pow(2\\,(4*mod(floor(t*4)\\,3)+3*floor(mod(floor(t*4)\\,6)/3))/12))*exp(-5*mod(t\\,0.25))*min(1\\,100*mod(t\\,0.25))':sample_rate=48000" -t 5 -c:v libvpx -b:v 160k -maxrate 200k -bufsize 200k -g 40 -quality good -cpu-used 0 -c:a libopus -b:a 32k -fflags +bitexact -flags:v +bitexact -flags:a +bitexact -y demo.webm
//go:embed demo.webm
var demoClip []byte
